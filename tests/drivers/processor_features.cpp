// A processor without AVX-512 on one that has it, for what a CPU driver makes of shaders there: every cpuid that the process asks for
// answers as a Zen 3 with AVX2 and FMA would, so that Mesa, LLVM and we ourselves choose 8 lanes, 16 registers, and loads lane by lane in place
// of gathers. The code runs at this processor's speed: it shows what is generated, and what of it helps; not a Zen 3's figures.
//
// Usage, with its own HOME, for caches of kernels may not tell the two apart:
//   c++ -std=c++20 -O2 -Wall -Wextra -Werror -fPIC -shared tests/drivers/processor_features.cpp -o /tmp/processor_features.so
//   HOME=$(mktemp -d) LD_PRELOAD=/tmp/processor_features.so build/lapilli bench matmul
//   HOME=$(mktemp -d) LD_PRELOAD=/tmp/processor_features.so MESA_SHADER_CACHE_DISABLE=true GALLIVM_DEBUG=asm build/lapilli bench ceiling
// Linux on a processor that can trap cpuid (`cpuid_fault` in /proc/cpuinfo), else a warning and no change.
#include <asm/prctl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>

namespace {

struct Registers {
  uint32_t a, b, c, d;
};

constexpr uint32_t bits(auto... positions) { return ((1U << positions) | ...); }

// Leaves and bits: AMD64 Architecture Programmer's Manual, volume 3, appendix E; Intel's manual, volume 2, CPUID.
Registers as_zen3(uint32_t leaf, uint32_t subleaf, Registers real) {
  if (leaf == 0) return {real.a, 0x68747541, 0x444d4163, 0x69746e65};      // "AuthenticAMD"
  if (leaf == 1) return {0x00a00f11, real.b, real.c, real.d};              // family 19h, model 1
  if (leaf != 7) return real;
  if (subleaf > 0) return {};                                             // AVX-VNNI, AVX512-BF16
  real.b &= ~bits(16, 17, 21, 26, 27, 28, 30, 31);                        // AVX-512 F, DQ, IFMA, PF, ER, CD, BW, VL
  real.c &= ~bits(1, 6, 8, 11, 12, 14);                                   // VBMI, VBMI2, GFNI, VNNI, BITALG, VPOPCNTDQ
  real.d &= ~bits(2, 3, 8, 22, 23, 24, 25);                               // 4VNNIW, 4FMAPS, VP2INTERSECT, AMX-BF16, FP16, AMX-TILE, AMX-INT8
  return real;
}

void trap_cpuid(bool on) { syscall(SYS_arch_prctl, ARCH_SET_CPUID, on ? 0 : 1); }

// A trapped cpuid is a SIGSEGV; any other is repeated without us.
void answer(int, siginfo_t*, void* context) {
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const auto* code = reinterpret_cast<const uint8_t*>(registers[REG_RIP]);
  if (code[0] != 0x0f || code[1] != 0xa2) {
    signal(SIGSEGV, SIG_DFL);
    return;
  }
  const auto leaf = static_cast<uint32_t>(registers[REG_RAX]), subleaf = static_cast<uint32_t>(registers[REG_RCX]);
  Registers real{leaf, 0, subleaf, 0};
  trap_cpuid(false);
  asm volatile("cpuid" : "+a"(real.a), "=b"(real.b), "+c"(real.c), "=d"(real.d));
  trap_cpuid(true);
  const Registers told = as_zen3(leaf, subleaf, real);
  registers[REG_RAX] = told.a;
  registers[REG_RBX] = told.b;
  registers[REG_RCX] = told.c;
  registers[REG_RDX] = told.d;
  registers[REG_RIP] += 2;
}

[[gnu::constructor]] void pretend() {
  struct sigaction action = {};
  action.sa_sigaction = answer;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSEGV, &action, nullptr);
  if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0) != 0) perror("processor_features: cpuid cannot be trapped");
}

}  // namespace
