// Prints nested TypeScript `as const` objects of numbers. Build-time only; knows nothing of KVM.

#ifndef NODE_KVM_GEN_EMITTER_H_
#define NODE_KVM_GEN_EMITTER_H_

#include <cstdint>
#include <cstdio>

namespace gen {

class Emitter {
 public:
  explicit Emitter(FILE* out) : out_(out) {}

  /** A line of the file's opening comment. */
  void Comment(const char* text) { fprintf(out_, "//%s%s\n", *text == '\0' ? "" : " ", text); }

  void Const(const char* name, const char* doc, uint64_t value) {
    fprintf(out_, "\n/** %s */\nexport const %s = %llu;\n", doc, name, static_cast<unsigned long long>(value));
  }

  void Open(const char* name, const char* doc) {
    fprintf(out_, "\n/** %s */\nexport const %s = {\n", doc, name);
    depth_ = 1;
  }
  void OpenNested(const char* name) {
    Indent();
    fprintf(out_, "%s: {\n", name);
    ++depth_;
  }
  /** A number; all that are emitted fit JavaScript's safe integers. Flags and MSR indices read better in hexadecimal.
   */
  void Value(const char* name, uint64_t value) {
    Indent();
    fprintf(out_, "%s: %llu,\n", name, static_cast<unsigned long long>(value));
  }
  void Hex(const char* name, uint64_t value) {
    Indent();
    fprintf(out_, "%s: 0x%llx,\n", name, static_cast<unsigned long long>(value));
  }
  void CloseNested() {
    --depth_;
    Indent();
    fprintf(out_, "},\n");
  }
  void Close() {
    depth_ = 0;
    fprintf(out_, "} as const;\n");
  }

 private:
  void Indent() {
    for (int i = 0; i < depth_; ++i) fputs("  ", out_);
  }

  FILE* out_;
  int depth_ = 0;
};

void EmitConstants(Emitter& out);
void EmitMsrs(Emitter& out);
void EmitRunPage(Emitter& out);
void EmitVcpuState(Emitter& out);
void EmitStats(Emitter& out);

}  // namespace gen

#endif  // NODE_KVM_GEN_EMITTER_H_
