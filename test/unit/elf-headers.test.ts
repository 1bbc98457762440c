// Hostile and broken ELF headers: every field that is wrong is refused with ERR_IMAGE_FORMAT and named. No memory involved.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseElf } from '../../src/main/images/elf-headers.ts';
import { CODE_ADDR, CODE_OFFSET, type Ehdr, elfFile, type Phdr } from '../elf-image.ts';

const test = suite('elf headers');
const code = Uint8Array.of(0xf4, 0xf4, 0xf4, 0xf4);
const page = 0x1000n;
const huge = 2n ** 64n - 1n;

interface Coded {
  code?: string;
  message: string;
  info?: { field?: string };
}

function refusal(bytes: Uint8Array): Coded {
  try {
    parseElf(bytes, 'file');
  } catch (error) {
    return error as Coded;
  }
  throw new Error('the file was accepted');
}

function refused(name: string, field: RegExp, header: Ehdr, phdrs?: Phdr[]): void {
  test(`${name} is refused`, () => {
    const error = refusal(elfFile(code, header, phdrs));
    assert.is(error.code, 'ERR_IMAGE_FORMAT');
    assert.match(error.info?.field ?? '', field);
    assert.match(error.message, /^file: /);
  });
}

test('a correct file gives its entry and segment', () => {
  const { entry, segments } = parseElf(elfFile(code), 'file');
  assert.is(entry, CODE_ADDR);
  assert.equal(segments, [{ index: 0, guestAddr: CODE_ADDR, memorySize: 4, fileOffset: CODE_OFFSET, fileSize: 4 }]);
});

test('segments may touch and need no bytes in the file', () => {
  const phdrs = [{}, { paddr: BigInt(CODE_ADDR + 4), offset: BigInt(CODE_OFFSET + 4), filesz: 0n, memsz: page }];
  assert.is(parseElf(elfFile(code, {}, phdrs), 'file').segments.length, 2);
});

test('program headers of other types are passed over', () => {
  const note: Phdr = { type: 4, offset: huge, filesz: huge };
  assert.is(parseElf(elfFile(code, {}, [note, {}]), 'file').segments[0]?.index, 1);
});

test('a file cut short anywhere is refused, never read beyond', () => {
  const whole = elfFile(code);
  for (const size of [0, 1, 4, 16, 52, 63, 64, 119, 120, CODE_OFFSET, CODE_OFFSET + 3]) {
    assert.is(refusal(whole.slice(0, size)).code, 'ERR_IMAGE_FORMAT', `${size} bytes`);
  }
});

refused('a wrong magic', /magic/, { magic: 0x7f454c47 });
refused('a 32-bit file', /EI_CLASS/, { class: 1 });
refused('a big-endian file', /EI_DATA/, { data: 2 });
refused('an unknown ident version', /EI_VERSION/, { identVersion: 0 });
refused('a relocatable file', /e_type/, { type: 1 });
refused('a position-independent file', /e_type/, { type: 3 });
refused('a core file', /e_type/, { type: 4 });
refused('another machine', /e_machine/, { machine: 183 });
refused('an unknown version', /e_version/, { version: 2 });
refused('a wrong header size', /e_ehsize/, { ehsize: 52 });
refused('a wrong program header size', /e_phentsize/, { phentsize: 32 });
refused('no program header', /e_phnum/, { phnum: 0 });
refused('too many program headers', /e_phnum/, { phnum: 0xffff });
refused('a program header table in the ELF header', /e_phoff/, { phoff: 0n });
refused('a program header table behind the file', /e_phoff/, { phoff: BigInt(CODE_OFFSET) });
refused('a program header table above 2^53', /e_phoff/, { phoff: huge });
refused('an entry outside all segments', /e_entry/, { entry: BigInt(CODE_ADDR + 4) });
refused('an entry above 2^53', /e_entry/, { entry: huge });
refused('a file without PT_LOAD', /e_phnum/, {}, [{ type: 4 }]);
refused('a file with an empty PT_LOAD only', /e_phnum/, {}, [{ filesz: 0n, memsz: 0n }]);
refused('a dynamically linked file', /p_type/, {}, [{}, { type: 2 }]);
refused('a file with an interpreter', /p_type/, {}, [{ type: 3 }, {}]);
refused('more bytes in the file than in memory', /p_filesz/, {}, [{ memsz: 3n }]);
refused('bytes behind the end of the file', /p_offset/, {}, [{ offset: page + 1n, align: 1n }]);
refused('an offset above 2^53', /p_offset/, {}, [{ offset: huge }]);
refused('a file size above 2^53', /p_filesz/, {}, [{ filesz: huge, memsz: huge }]);
refused('a memory size above 2^53', /p_memsz/, {}, [{ memsz: huge }]);
refused('an address above 2^53', /p_paddr/, {}, [{ paddr: huge - 0xfffn, vaddr: 0n }]);
refused('a segment that ends above 2^53', /p_paddr/, {}, [{ paddr: 2n ** 53n - page, memsz: 2n * page }]);
refused('an alignment that is no power of two', /p_align/, {}, [{ align: 0x1001n }]);
refused('an address that is not congruent to its offset', /p_vaddr/, {}, [{ vaddr: BigInt(CODE_ADDR + 1) }]);
refused('overlapping segments', /p_paddr/, {}, [{ memsz: page + 1n }, { paddr: BigInt(CODE_ADDR) + page }]);
refused('a segment inside another', /p_paddr/, {}, [
  { memsz: page * 4n },
  { paddr: BigInt(CODE_ADDR) + page, filesz: 1n, memsz: 1n },
]);

test.run();
