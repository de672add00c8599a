// The order in which kernels are compiled.
#include "engine/kernel/kernel.h"

#include "shaders/common/args.h"
#include "shaders/embedded_shaders.h"
#include "tests/common/support.h"

namespace lapilli::test {
namespace {

SpecConstants workgroup(uint32_t size) { return {{args::SPEC_WORKGROUP, size}}; }

TEST(KernelLibrary, Deferred_IsCompiledOnSecondRequest_OrWhenStarted) {
  KernelLibrary library(device(), embedded_shaders());
  library.defer();
  const Kernel& later = library.get("add", workgroup(8));
  const Kernel& sooner = library.get("add", workgroup(16));
  library.stop_deferring();
  EXPECT_EQ(&library.get("add", workgroup(16)), &sooner);
  EXPECT_NE(sooner.compiled(), CompiledKernel{});
  const Kernel& direct = library.get("add", workgroup(32));
  EXPECT_NE(direct.compiled(), CompiledKernel{});
  EXPECT_FALSE(later.is_ready());
  library.start_deferred();
  EXPECT_NE(later.compiled(), CompiledKernel{});
}

TEST(KernelLibrary, Wait_StartsWhatWasDeferred) {
  KernelLibrary library(device(), embedded_shaders());
  library.defer();
  const Kernel& kernel = library.get("add", workgroup(8));
  EXPECT_FALSE(kernel.is_ready());
  library.wait();
  EXPECT_TRUE(kernel.is_ready());
  EXPECT_TRUE(library.get("add", workgroup(16)).compiled() != CompiledKernel{}) << "deferring went on";
}

TEST(KernelLibrary, DeferredAndNeverStarted_EndsWithTheLibrary) {
  KernelLibrary library(device(), embedded_shaders());
  library.defer();
  library.get("add", workgroup(8));
}

TEST(EmbeddedShader, OnlyThoseOfTheSpan_AreFoundAndHashed) {
  const EmbeddedShader none[] = {{"nothing", {}}};
  EXPECT_EQ(find_shader(none, "add"), nullptr);
  EXPECT_NE(hash_shaders(none), hash_shaders(embedded_shaders()));
}

}  // namespace
}  // namespace lapilli::test
