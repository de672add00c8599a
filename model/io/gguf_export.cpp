#include "model/io/gguf_export.h"

#include "engine/base/error.h"
#include "model/io/export_tensors.h"
#include "model/io/gguf_config.h"
#include "tokenizer/text/gguf_tokenizer.h"

namespace lapilli {

namespace {

GgmlType ggml_type(TensorType type) { return type == TensorType::f16 ? GgmlType::f16 : type == TensorType::bf16 ? GgmlType::bf16 : GgmlType::f32; }

// llama.cpp's number for "most matrices have this type".
uint32_t file_type(TensorType type) { return type == TensorType::f16 ? 1 : type == TensorType::bf16 ? 32 : 0; }

void write_tokenizer(GgufWriter& writer, const GgufTokenizer& tokenizer) {
  const std::string prefix = "tokenizer.ggml.";
  writer.add(prefix + "model", tokenizer.model);
  writer.add(prefix + "pre", tokenizer.pre);
  writer.add(prefix + "tokens", std::span(tokenizer.tokens));
  if (!tokenizer.scores.empty()) writer.add(prefix + "scores", std::span(tokenizer.scores));
  writer.add(prefix + "token_type", std::span(tokenizer.token_types));
  if (!tokenizer.merges.empty()) writer.add(prefix + "merges", std::span(tokenizer.merges));
  if (tokenizer.bos) writer.add(prefix + "bos_token_id", *tokenizer.bos);
  if (tokenizer.eos) writer.add(prefix + "eos_token_id", *tokenizer.eos);
  if (tokenizer.unknown) writer.add(prefix + "unknown_token_id", *tokenizer.unknown);
  // Where one is missing llama.cpp takes its own default, and puts a space or a token in front of the text or behind it.
  for (const char* key : {"add_bos_token", "add_eos_token", "add_space_prefix", "remove_extra_whitespaces"}) writer.add(prefix + key, false);
}

struct Planned {
  GgufTensor info;
  const ExportTensor* tensor;  // null: the factors of rope_scaling
};

std::vector<Planned> plan_tensors(const std::vector<ExportTensor>& tensors, std::span<const float> factors, GgmlType type) {
  std::vector<Planned> plan;
  if (!factors.empty()) plan.push_back({{.name = kRopeFactors, .shape = {factors.size()}}, nullptr});
  for (const ExportTensor& tensor : tensors) {
    const bool in_type = tensor.shape.size() == 2 && tensor.name != "position_embd.weight";
    plan.push_back({{.name = tensor.name, .type = in_type ? type : GgmlType::f32, .shape = tensor.shape}, &tensor});
  }
  return plan;
}

}  // namespace

void export_gguf(const LoadedCheckpoint& checkpoint, const std::filesystem::path& file, TensorType type) {
  const ModelConfig& model = checkpoint.config.model;
  const Arch arch = exportable_arch(checkpoint.config);
  const ParameterTable table(model);
  CHECK_EQ(checkpoint.state.values.size(), table.count());
  const GgufTokenizer tokenizer = gguf_tokenizer(Tokenizer(tokenizer_in(checkpoint.folder)));
  const std::vector<ExportTensor> tensors = gguf_tensors(table, model, arch);
  const std::vector<float> factors = rope_factors(model);
  const std::vector<Planned> plan = plan_tensors(tensors, factors, ggml_type(type));

  GgufWriter writer(file);
  write_gguf_config(writer, model, arch);
  writer.add("general.name", file.stem().string());
  writer.add("general.file_type", file_type(type));
  write_tokenizer(writer, tokenizer);
  std::vector<GgufTensor> infos;
  for (const Planned& planned : plan) infos.push_back(planned.info);
  writer.start_tensors(std::move(infos));
  for (const Planned& planned : plan) {
    const std::vector<float> values = planned.tensor == nullptr ? factors : planned.tensor->values(checkpoint.state.values);
    if (planned.info.type == GgmlType::f16) require_finite_in_f16(values, planned.info.name);
    writer.write(values);
  }
  writer.commit();
}

}  // namespace lapilli
