#pragma once
// A run's configuration: the keys of a CONFIG.toml with every default. Sections and keys are a stable interface for
// users.

#include <cstdint>
#include <string>
#include <vector>

#include "engine/memory/dtype.h"
#include "model/loss/loss_plan.h"
#include "model/ops/rope_scaling.h"

namespace lapilli {

// Names used in configurations, in the order of the enumerators.
enum class Arch { gpt2, llama };
constexpr const char* kArchNames[] = {"gpt2", "llama"};
enum class NormKind { layernorm, rmsnorm };
constexpr const char* kNormNames[] = {"layernorm", "rmsnorm"};
enum class MlpKind { gelu, swiglu };
constexpr const char* kMlpNames[] = {"gelu", "swiglu"};
enum class PositionKind { learned, rope };
constexpr const char* kPositionNames[] = {"learned", "rope"};

struct ModelConfig {
  Arch arch = Arch::gpt2;  // preset for the keys from norm to tie_embeddings
  uint32_t layers = 4;     // L
  uint32_t heads = 4;      // H
  uint32_t kv_heads = 4;   // G, divides H; default: H
  uint32_t dim = 128;      // D, a multiple of H where head_size is 0
  uint32_t head_size = 0;  // key head_width; 0: D / H
  uint32_t ffn_dim = 512;  // F; default: 4D for gelu, 8D/3 rounded up to a multiple of 32 for swiglu
  uint32_t context = 64;   // T
  NormKind norm = NormKind::layernorm;
  MlpKind mlp = MlpKind::gelu;
  PositionKind position = PositionKind::learned;
  bool bias = true;             // in linear layers and LayerNorm
  bool tie_embeddings = true;   // one matrix for embedding and head
  float norm_eps = kNormEps;
  double rope_theta = 10000;
  RopeScaling rope_scaling = {};
  float dropout = 0;            // after the embedding and after both projections of a block
  // Not a key: set from the tokenizer.
  uint32_t vocab_size = 0;      // V

  uint32_t head_width() const { return head_size != 0 ? head_size : dim / heads; }  // E
  uint32_t qkv_width() const { return (heads + 2 * kv_heads) * head_width(); }  // (H + 2G) E
  static constexpr float kNormEps = 1e-5F;
  static constexpr float kInitStd = 0.02F;
};

// One of the data sets that a run mixes.
struct DataShare {
  std::string dir;
  double weight = 1;  // share of the sequences, relative to the weights of the others
};

struct DataConfig {
  std::string dir;             // folder made by `lapilli data build`
  std::vector<DataShare> mix = {};  // instead of dir: several such folders
  uint32_t batch = 12;         // B, sequences of a micro-batch
  uint32_t accumulate = 1;     // micro-batches of a step
  bool document_mask = false;  // attention stays inside a document

  // Those of mix; else dir alone; none if neither is set.
  std::vector<DataShare> sets() const { return mix.empty() && !dir.empty() ? std::vector{DataShare{.dir = dir}} : mix; }
};

enum class Schedule { cosine, linear, constant, wsd };
constexpr const char* kScheduleNames[] = {"cosine", "linear", "constant", "wsd"};

struct OptimConfig {
  std::string optimizer = "adamw";
  double lr = 1e-3;
  double min_lr = 1e-4;  // final value of the schedule; default: lr / 10
  uint32_t warmup = 100;  // steps of linear warm-up
  Schedule schedule = Schedule::cosine;
  double weight_decay = 0.1;
  double beta1 = 0.9, beta2 = 0.99, eps = 1e-8;
  double clip = 1.0;  // of the gradient norm; 0: off
};

struct TrainConfig {
  uint64_t steps = 2000;
  uint64_t eval_every = 250;      // steps; 0: only at the end
  uint64_t eval_tokens = 0;       // validation tokens scored each time; 0: all
  uint64_t checkpoint_every = 0;  // steps; 0: only at the end
  double checkpoint_minutes = 10;  // also one after this time without; 0: none
  uint32_t keep = 2;              // newest checkpoints kept; 0: all
  bool keep_best = true;          // a checkpoint at each best evaluation; the newest of them is kept, too
  uint64_t seed = 1;
  std::string init_from;          // a run or checkpoint whose weights the run starts with; empty: random ones
  bool recompute = false;         // recompute norms and activations in backward instead of keeping them
  Precision precision = Precision::f32;  // of GEMM operands
};

struct Config {
  ModelConfig model;
  DataConfig data;
  OptimConfig optim;
  LossOptions loss;
  std::string teacher;  // [loss] teacher: a run or checkpoint to learn from (distillation); empty: none
  TrainConfig train;
  uint32_t teacher_dim = 0;  // width of the teacher, set by with_teacher()
};

// The shape of the loss of one micro-batch.
inline LossShape micro_batch_loss_shape(const Config& config) {
  return {.tokens = config.data.batch * config.model.context,
          .dim = config.model.dim,
          .vocab = config.model.vocab_size,
          .teacher_dim = config.teacher_dim};
}

// Sets norm, mlp, position, bias and tie_embeddings by `arch`.
void apply_preset(ModelConfig& model);
// 4D, or for SwiGLU two thirds of that, rounded up to a multiple of 32.
uint32_t default_ffn_dim(const ModelConfig& model);

const char* to_string(Arch);
const char* to_string(NormKind);
const char* to_string(MlpKind);
const char* to_string(PositionKind);
const char* to_string(Schedule);

}  // namespace lapilli
