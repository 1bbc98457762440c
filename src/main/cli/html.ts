// What the pages that commands write have in common: text made harmless, data and scripts that cannot end their element, a template
// that is filled in. Main thread; pure.

/** Text for an element or an attribute. */
export function escapeText(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  };
  return text.replace(/[&<>"']/g, character => entities[character] ?? character);
}

/** JSON for a script element: nothing ends that but by "</". JSON has no use for "<" outside of strings, and there it may be escaped. */
export function embedData(data: object): string {
  return JSON.stringify(data).replace(/</g, '\\u003c');
}

/** A script for a script element. */
export function embedScript(script: string): string {
  return script.replace(/<\/(?=script)/gi, '<\\/');
}

/** How every page begins, up to its title; its template has `{{HEAD}}` there. Pages load nothing, and the policy sees to it. */
export const HEAD = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">`;

/** Puts `parts` in the places of `{{NAME}}`; what a part contains is not looked through again. */
export function fillTemplate(template: string, parts: Readonly<Record<string, string>>): string {
  return template.replace(/\{\{(\w+)\}\}/g, (_, name: string) => parts[name] ?? '');
}
