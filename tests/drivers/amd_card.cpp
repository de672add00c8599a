// A simulated AMD GPU, only for compilation: preloaded before Mesa's RADV (LD_PRELOAD, ld.so --preload), this library
// replaces libdrm and the kernel driver. Mesa up to 25 has that built in (RADV_FORCE_FAMILY); later versions do not.
// LAPILLI_AMD_CARD names the GPU, one of kCards. Memory can be allocated and written; nothing runs: submissions are
// ignored, and every wait returns at once.

#include <amdgpu.h>
#include <amdgpu_drm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xf86drm.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

// Handles of libdrm, opaque to its users.
struct amdgpu_device {
  int file;
};
struct amdgpu_bo {
  uint32_t handle;
};
struct amdgpu_va {};

namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr uint64_t kMemoryBytes = 16 * kGiB;
constexpr int kDrmMinor = 54;                // of the kernel's interface 3.x: the oldest that Mesa 26.1 supports
constexpr uint32_t kAddress32High = 0xffff8000;  // upper half of the addresses with 32 variable bits

// RADV identifies the chip by family and revision (Mesa, amdgpu_asic_addr.h); the rest hardly affects its compiler.
struct Card {
  std::string_view name;
  uint32_t device_id, family, external_revision;
  uint32_t gfx_major, gfx_minor;
};
constexpr Card kCards[] = {
    {.name = "vega20", .device_id = 0x66af, .family = 141, .external_revision = 0x28, .gfx_major = 9, .gfx_minor = 0},
    {.name = "navi10", .device_id = 0x731f, .family = 143, .external_revision = 0x01, .gfx_major = 10, .gfx_minor = 1},
    {.name = "navi21", .device_id = 0x73bf, .family = 143, .external_revision = 0x28, .gfx_major = 10, .gfx_minor = 3},
    {.name = "navi31", .device_id = 0x744c, .family = 145, .external_revision = 0x01, .gfx_major = 11, .gfx_minor = 0},
    {.name = "gfx1201", .device_id = 0x7550, .family = 152, .external_revision = 0x51, .gfx_major = 12, .gfx_minor = 0},
};

const Card& card() {
  static const Card& chosen = []() -> const Card& {
    const char* name = std::getenv("LAPILLI_AMD_CARD");
    const auto found = std::ranges::find(kCards, std::string_view(name ? name : ""), &Card::name);
    if (found == std::end(kCards)) {
      std::fprintf(stderr, "amd_card: LAPILLI_AMD_CARD is '%s'; the cards are:", name ? name : "");
      for (const Card& known : kCards) std::fprintf(stderr, " %s", std::string(known.name).c_str());
      std::fputc('\n', stderr);
      std::exit(2);
    }
    return *found;
  }();
  return chosen;
}

// The GPU's memory is an anonymous file, which grows with every buffer; RADV maps it like real device memory.
class Memory {
 public:
  int file() const { return file_; }

  uint32_t allocate(uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    constexpr uint64_t kPage = 1 << 16;
    offsets_[++last_handle_] = size_;
    size_ += (bytes + kPage - 1) / kPage * kPage;
    if (ftruncate(file_, static_cast<off_t>(size_)) != 0) std::perror("amd_card: memory");
    return last_handle_;
  }

  uint64_t offset(uint32_t handle) {
    const std::lock_guard lock(mutex_);
    return offsets_.at(handle);
  }

  uint64_t allocate_addresses(uint64_t bytes, uint64_t alignment, bool low) {
    const std::lock_guard lock(mutex_);
    uint64_t& next = low ? next_low_address_ : next_address_;
    alignment = std::max<uint64_t>(alignment, 4096);
    const uint64_t address = (next + alignment - 1) / alignment * alignment;
    next = address + bytes;
    return address;
  }

 private:
  const int file_ = memfd_create("amd_card", MFD_CLOEXEC);
  std::mutex mutex_;
  std::map<uint32_t, uint64_t> offsets_;
  uint32_t last_handle_ = 0;
  uint64_t size_ = 0;
  uint64_t next_address_ = 8 * kGiB;
  uint64_t next_low_address_ = (uint64_t{kAddress32High} << 32) + (1 << 16);
};

Memory& memory() {
  static Memory all;
  return all;
}

drmDevice& device() {
  static drmPciBusInfo bus{.domain = 0, .bus = 4, .dev = 0, .func = 0};
  static drmPciDeviceInfo information{};
  static std::string path = "/proc/self/fd/" + std::to_string(memory().file());
  static std::array<char*, DRM_NODE_MAX> nodes{};
  static drmDevice only = [] {
    information.vendor_id = information.subvendor_id = 0x1002;
    information.device_id = information.subdevice_id = static_cast<uint16_t>(card().device_id);
    nodes.fill(path.data());
    drmDevice made{};
    made.nodes = nodes.data();
    made.available_nodes = 1 << DRM_NODE_RENDER;
    made.bustype = DRM_BUS_PCI;
    made.businfo.pci = &bus;
    made.deviceinfo.pci = &information;
    return made;
  }();
  return only;
}

drm_amdgpu_info_device describe_device() {
  drm_amdgpu_info_device d{};
  d.device_id = card().device_id;
  d.external_rev = card().external_revision;
  d.family = card().family;
  d.num_shader_engines = 4;
  d.num_shader_arrays_per_engine = 2;
  d.num_cu_per_sh = 8;
  d.cu_active_number = 64;
  for (auto& engine : d.cu_bitmap) engine[0] = engine[1] = 0xff;
  d.num_rb_pipes = 16;
  d.enabled_rb_pipes_mask = 0xffff;
  d.num_tcc_blocks = 16;
  d.num_hw_gfx_contexts = 8;
  d.gpu_counter_freq = 100'000;  // kHz
  d.max_engine_clock = 2'500'000;
  d.max_memory_clock = 1'250'000;
  d.vram_type = AMDGPU_VRAM_TYPE_GDDR6;
  d.vram_bit_width = 256;
  d.virtual_address_offset = 1 << 21;
  d.virtual_address_max = uint64_t{1} << 47;
  d.virtual_address_alignment = d.gart_page_size = 4096;
  d.pte_fragment_size = 1 << 21;
  d.high_va_offset = uint64_t{kAddress32High} << 32;
  d.high_va_max = ~uint64_t{0} << 21;
  d.gs_vgt_table_depth = 32;
  d.gs_prim_buffer_depth = 1792;
  d.max_gs_waves_per_vgt = 32;
  return d;
}

drm_amdgpu_info_hw_ip describe_engine(uint32_t type) {
  drm_amdgpu_info_hw_ip engine{};  // no rings: there is none
  if (type > AMDGPU_HW_IP_COMPUTE) return engine;
  engine.hw_ip_version_major = card().gfx_major;
  engine.hw_ip_version_minor = card().gfx_minor;
  engine.available_rings = 1;
  engine.ib_start_alignment = engine.ib_size_alignment = 32;
  return engine;
}

drm_amdgpu_memory_info describe_memory() {
  drm_amdgpu_memory_info all{};
  for (drm_amdgpu_heap_info* heap : {&all.vram, &all.cpu_accessible_vram, &all.gtt}) {
    heap->total_heap_size = heap->usable_heap_size = kMemoryBytes;
    heap->max_allocation = kMemoryBytes / 4 * 3;
  }
  return all;
}

// Copies the answer, and zeros for the rest of the caller's memory: unknown fields are 0.
template <typename T>
void put(const drm_amdgpu_info& question, const T& answer) {
  std::memcpy(reinterpret_cast<void*>(question.return_pointer), &answer, std::min<size_t>(question.return_size, sizeof answer));
}

void answer(const drm_amdgpu_info& question) {
  constexpr uint32_t kAddressConfiguration = 0x263e;  // the register GB_ADDR_CONFIG
  std::memset(reinterpret_cast<void*>(question.return_pointer), 0, question.return_size);
  switch (question.query) {
    case AMDGPU_INFO_ACCEL_WORKING: return put(question, uint32_t{1});
    case AMDGPU_INFO_HW_IP_INFO: return put(question, describe_engine(question.query_hw_ip.type));
    case AMDGPU_INFO_HW_IP_COUNT: return put(question, uint32_t{describe_engine(question.query_hw_ip.type).available_rings != 0});
    case AMDGPU_INFO_FW_VERSION: return put(question, drm_amdgpu_info_firmware{.ver = 2500, .feature = 30});
    case AMDGPU_INFO_READ_MMR_REG: return put(question, uint32_t{question.read_mmr_reg.dword_offset == kAddressConfiguration ? 0x545u : 0u});
    case AMDGPU_INFO_DEV_INFO: return put(question, describe_device());
    case AMDGPU_INFO_MEMORY: return put(question, describe_memory());
    default: break;
  }
}

int answer(unsigned long request, void* argument) {
  switch (_IOC_NR(request) - DRM_COMMAND_BASE) {
    case DRM_AMDGPU_INFO: answer(*static_cast<const drm_amdgpu_info*>(argument)); break;
    case DRM_AMDGPU_GEM_CREATE: {
      auto& buffer = *static_cast<drm_amdgpu_gem_create*>(argument);
      const uint32_t handle = memory().allocate(buffer.in.bo_size);
      buffer.out.handle = handle;
      break;
    }
    case DRM_AMDGPU_GEM_MMAP: {
      auto& mapping = *static_cast<drm_amdgpu_gem_mmap*>(argument);
      const uint64_t offset = memory().offset(mapping.in.handle);
      mapping.out.addr_ptr = offset;
      break;
    }
    default: break;
  }
  return 0;
}

}  // namespace

extern "C" {

int ioctl(int file, unsigned long request, ...) noexcept {
  va_list arguments;
  va_start(arguments, request);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  if (_IOC_TYPE(request) == DRM_IOCTL_BASE) return answer(request, argument);
  return static_cast<int>(syscall(SYS_ioctl, file, request, argument));
}

int drmIoctl(int, unsigned long request, void* argument) { return answer(request, argument); }

int drmGetDevices2(uint32_t, drmDevicePtr devices[], int count) {
  if (devices && count > 0) devices[0] = &device();
  return 1;
}
int drmGetDevice2(int, uint32_t, drmDevicePtr* found) {
  *found = &device();
  return 0;
}
void drmFreeDevices(drmDevicePtr[], int) {}
void drmFreeDevice(drmDevicePtr*) {}

drmVersionPtr drmGetVersion(int) {
  static std::string name = "amdgpu", empty;
  static drmVersion version{.version_major = 3,
                            .version_minor = kDrmMinor,
                            .version_patchlevel = 0,
                            .name_len = static_cast<int>(name.size()),
                            .name = name.data(),
                            .date_len = 0,
                            .date = empty.data(),
                            .desc_len = 0,
                            .desc = empty.data()};
  return &version;
}
void drmFreeVersion(drmVersionPtr) {}

int drmGetCap(int, uint64_t, uint64_t* value) {
  *value = 1;
  return 0;
}

int drmSyncobjCreate(int, uint32_t, uint32_t* handle) {
  static std::atomic<uint32_t> last = 0;
  *handle = ++last;
  return 0;
}
int drmSyncobjDestroy(int, uint32_t) { return 0; }
int drmSyncobjWait(int, uint32_t*, unsigned, int64_t, unsigned, uint32_t*) { return 0; }
int drmSyncobjTimelineWait(int, uint32_t*, uint64_t*, unsigned, int64_t, unsigned, uint32_t*) { return 0; }

int amdgpu_device_initialize(int file, uint32_t* major, uint32_t* minor, amdgpu_device_handle* made) {
  static amdgpu_device only{};
  only.file = file;
  *major = 3;
  *minor = kDrmMinor;
  *made = &only;
  return 0;
}
int amdgpu_device_deinitialize(amdgpu_device_handle) { return 0; }
int amdgpu_device_get_fd(amdgpu_device_handle handle) { return handle->file; }
const char* amdgpu_get_marketing_name(amdgpu_device_handle) { return "Null hardware"; }  // RADV's name for a simulated GPU
int amdgpu_query_sw_info(amdgpu_device_handle, amdgpu_sw_info, void* value) {
  std::memcpy(value, &kAddress32High, sizeof kAddress32High);
  return 0;
}

int amdgpu_bo_alloc(amdgpu_device_handle, amdgpu_bo_alloc_request* request, amdgpu_bo_handle* made) {
  *made = new amdgpu_bo{memory().allocate(request->alloc_size)};
  return 0;
}
int amdgpu_bo_free(amdgpu_bo_handle buffer) {
  delete buffer;
  return 0;
}
int amdgpu_bo_export(amdgpu_bo_handle buffer, amdgpu_bo_handle_type, uint32_t* handle) {
  *handle = buffer->handle;
  return 0;
}
int amdgpu_va_range_alloc(amdgpu_device_handle, amdgpu_gpu_va_range, uint64_t bytes, uint64_t alignment, uint64_t, uint64_t* address,
                          amdgpu_va_handle* made, uint64_t flags) {
  *address = memory().allocate_addresses(bytes, alignment, flags & AMDGPU_VA_RANGE_32_BIT);
  *made = new amdgpu_va{};
  return 0;
}
int amdgpu_va_range_free(amdgpu_va_handle range) {
  delete range;
  return 0;
}

}  // extern "C"
