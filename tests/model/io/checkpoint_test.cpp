// Checkpoints: atomic, the same bytes for the same state, and one clear message for each kind of damage.

#include "model/io/checkpoint.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "engine/base/file.h"
#include "engine/base/hash.h"
#include "engine/base/staged_folder.h"
#include "engine/base/version.h"
#include "model/io/config_toml.h"
#include "model/transformer/parameters.h"
#include "tests/common/files.h"

namespace lapilli::testing {
namespace {

Config small_config() {
  Config config;
  config.model = {.layers = 2, .heads = 2, .kv_heads = 2, .dim = 8, .ffn_dim = 32, .context = 4, .vocab_size = 11};
  config.data.dir = "data/x";
  config.train.keep = 0;
  return config;
}

std::vector<float> random_floats(uint64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random()) / 1e9F;
  return values;
}

TrainingState make_state(const Config& config, uint64_t step = 100) {
  const uint64_t count = ParameterTable(config.model).count();
  return {.step = step,
          .updates = step - 4,
          .next_batch = 3 * step,
          .seed = 0xFFFFFFFFFFFFFFFF,
          .tokens = 12345678901,
          .loss_scale = {.value = 4096, .good_steps = 17, .skipped = 3},
          .best_val_loss = 1.25,
          .best_step = 3,
          .evaluated_step = step - 5,
          .loss_trend = {.mean = 2, .variance = 0.5, .count = 60},
          .norm_trend = {.mean = -1, .variance = 0.25, .count = 61},
          .not_finite_in_a_row = 2,
          .tokenizer_hash = 77,
          .data_fingerprint = 78,
          .values = random_floats(count, 1),
          .first_moment = random_floats(count, 2),
          .second_moment = random_floats(count, 3)};
}

void expect_same(const TrainingState& a, const TrainingState& b) {
  EXPECT_EQ(a.step, b.step);
  EXPECT_EQ(a.updates, b.updates);
  EXPECT_EQ(a.next_batch, b.next_batch);
  EXPECT_EQ(a.seed, b.seed);
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.loss_scale, b.loss_scale);
  EXPECT_EQ(a.best_val_loss, b.best_val_loss);
  EXPECT_EQ(a.best_step, b.best_step);
  EXPECT_EQ(a.evaluated_step, b.evaluated_step);
  EXPECT_EQ(a.loss_trend, b.loss_trend);
  EXPECT_EQ(a.norm_trend, b.norm_trend);
  EXPECT_EQ(a.not_finite_in_a_row, b.not_finite_in_a_row);
  EXPECT_EQ(a.tokenizer_hash, b.tokenizer_hash);
  EXPECT_EQ(a.data_fingerprint, b.data_fingerprint);
  EXPECT_EQ(a.values, b.values);
  EXPECT_EQ(a.first_moment, b.first_moment);
  EXPECT_EQ(a.second_moment, b.second_moment);
}

class Checkpoint : public ::testing::Test {
 protected:
  Checkpoint() { fs::create_directories(parent_); }

  fs::path save(const TrainingState& state, uint32_t keep = 0) {
    Config config = config_;
    config.train.keep = keep;
    return save_checkpoint(parent_, config, state, tokenizer_);
  }
  fs::path save(uint64_t step, uint32_t keep = 0) { return save(make_state(config_, step), keep); }
  std::string load_error(const fs::path& path) {
    return error_of([&] { load_checkpoint(path); });
  }
  std::vector<std::string> names() const {  // in the folder of checkpoints, hidden ones too
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(parent_)) names.push_back(entry.path().filename().string());
    std::ranges::sort(names);
    return names;
  }
  static void overwrite(const fs::path& path, std::string_view bytes) { std::ofstream(path, std::ios::binary) << bytes; }

  TempDir dir_;
  fs::path run_ = dir_ / "run", parent_ = run_ / "checkpoints";
  fs::path tokenizer_ = dir_.write("some.model", std::string("not read here \0\xFF", 16));
  Config config_ = small_config();
};

using Names = std::vector<std::string>;

TEST_F(Checkpoint, SaveThenLoad_GivesEverythingBack) {
  const fs::path folder = save(100);
  EXPECT_EQ(folder, parent_ / "step-00000100");
  EXPECT_EQ(names(), Names{"step-00000100"});
  for (const fs::path& path : {folder, folder / "", parent_, run_, run_ / ""}) {
    const LoadedCheckpoint loaded = load_checkpoint(path);
    EXPECT_EQ(loaded.folder, folder) << path;
    expect_same(loaded.state, make_state(config_));
    EXPECT_EQ(to_toml(loaded.config), to_toml(config_));
    EXPECT_EQ(loaded.config.model.vocab_size, 11U);
  }
  EXPECT_EQ(read_text_file(folder / "tokenizer.model"), read_text_file(tokenizer_));
  EXPECT_EQ(read_text_file(folder / "config.toml"), to_toml(config_));
}

TEST_F(Checkpoint, Commit_IsTheProgramsThatWroteIt) {
  const fs::path folder = save(100);
  EXPECT_EQ(load_checkpoint(folder).commit, build_version().commit);
  overwrite(folder / "written_by.json", R"({"version": "0.1.0", "commit": "abc1234"})");
  EXPECT_EQ(load_checkpoint(folder).commit, "abc1234");
}

TEST_F(Checkpoint, Load_WithoutACommit_GivesEverythingElse) {
  const fs::path folder = save(100);
  for (const char* text : {"", "{\"commit\": 7}", "[]", "\xFF"}) {
    overwrite(folder / "written_by.json", text);
    EXPECT_EQ(load_checkpoint(folder).commit, "") << text;
  }
  fs::remove(folder / "written_by.json");  // as programs before this one left them
  const LoadedCheckpoint loaded = load_checkpoint(run_);
  EXPECT_EQ(loaded.commit, "");
  expect_same(loaded.state, make_state(config_));
}

TEST_F(Checkpoint, SaveThenLoad_NoMomentsNoEvaluation) {
  TrainingState state = make_state(config_);
  state.first_moment.clear(), state.second_moment.clear();
  state.best_val_loss = INFINITY;
  expect_same(load_checkpoint(save(state)).state, state);
}

TEST_F(Checkpoint, Save_SameState_SameBytes) {
  const fs::path one = save(100), two = save_checkpoint(dir_ / "other", config_, make_state(config_), tokenizer_);
  for (const char* name : {"state.bin", "config.toml", "tokenizer.model"}) {
    EXPECT_EQ(read_text_file(one / name), read_text_file(two / name)) << name;
  }
}

TEST_F(Checkpoint, Save_Keep_LeavesTheNewest) {
  for (const uint64_t step : {10U, 20U, 30U}) save(step, 2);
  EXPECT_EQ(names(), (Names{"step-00000020", "step-00000030"}));
  save(40, 0);
  EXPECT_EQ(names().size(), 3U);
  save(100000000, 1);  // nine digits
  EXPECT_EQ(names(), Names{"step-100000000"});
  EXPECT_EQ(find_latest_checkpoint(run_), parent_ / "step-100000000");
}

TEST_F(Checkpoint, Save_OlderStepThanThere_StaysBesideTheNewest) {
  for (const uint64_t step : {10U, 20U, 30U}) save(step);
  save(15, 2);
  EXPECT_EQ(names(), (Names{"step-00000015", "step-00000030"}));
}

TEST_F(Checkpoint, Save_Keep_RemovesOnlyWholeCheckpoints) {
  fs::create_directories(parent_ / "step-00000005");
  overwrite(parent_ / "step-00000005" / "state.bin", "of a later program");
  fs::create_directories(parent_ / "step-5");
  overwrite(parent_ / "notes.txt", "mine");
  save(10, 1);
  save(20, 1);
  EXPECT_EQ(names(), (Names{"notes.txt", "step-00000005", "step-00000020", "step-5"}));
}

TEST_F(Checkpoint, Save_SameStep_Replaces) {
  save(100);
  TrainingState state = make_state(config_);
  state.best_val_loss = 0.5;
  save(state, 2);
  EXPECT_EQ(names(), Names{"step-00000100"});
  expect_same(load_checkpoint(run_).state, state);
}

TEST_F(Checkpoint, Save_UnfinishedFoldersOfEndedProcesses_AreRemoved) {
  fs::create_directories(parent_ / ".step-00000007.lapilli-0123abcd");
  overwrite(parent_ / ".step-00000007.lapilli-0123abcd" / "state.bin", "half");
  fs::create_directories(parent_ / ".step-notes");
  const StagedFolder held(parent_ / "step-00000009", "step-");  // as of a running process
  save(100);
  EXPECT_EQ(names(), (Names{held.path().filename().string(), ".step-notes", "step-00000100"}));
}

TEST_F(Checkpoint, Save_KeepBest_StaysBesideTheNewest) {
  const auto save_with_best = [&](uint64_t step, uint64_t best) {
    TrainingState state = make_state(config_, step);
    state.best_step = best;
    save(state, 1);
  };
  save_with_best(10, 10);
  save_with_best(20, 10);
  save_with_best(30, 10);
  EXPECT_EQ(names(), (Names{"step-00000010", "step-00000030"}));
  save_with_best(40, 40);
  save_with_best(50, 40);
  EXPECT_EQ(names(), (Names{"step-00000040", "step-00000050"}));
  config_.train.keep_best = false;
  save_with_best(60, 40);
  EXPECT_EQ(names(), Names{"step-00000060"});
}

TEST_F(Checkpoint, Save_CannotWrite_LeavesWhatWasThere) {
  const fs::path folder = save(100);
  const std::string before = read_text_file(folder / "state.bin");
  EXPECT_ERROR_MENTIONS(error_of([&] { save_checkpoint(parent_, config_, make_state(config_, 200), dir_ / "no.model"); }), "no.model");
  EXPECT_ERROR_MENTIONS(error_of([&] { save_checkpoint(tokenizer_ / "x", config_, make_state(config_), tokenizer_); }), "some.model");

  signal(SIGXFSZ, SIG_IGN);  // writes beyond the limit fail as on a full disk
  rlimit unlimited{};
  getrlimit(RLIMIT_FSIZE, &unlimited);
  const rlimit small{.rlim_cur = 5000, .rlim_max = unlimited.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string other_step = error_of([&] { save(200, 1); }), same_step = error_of([&] { save(100, 1); });
  setrlimit(RLIMIT_FSIZE, &unlimited);
  signal(SIGXFSZ, SIG_DFL);
  EXPECT_ERROR_MENTIONS(other_step, "state.bin", "File too large");
  EXPECT_ERROR_MENTIONS(same_step, "state.bin", "File too large");

  EXPECT_EQ(names(), Names{"step-00000100"});
  EXPECT_EQ(read_text_file(folder / "state.bin"), before);
  expect_same(load_checkpoint(run_).state, make_state(config_));
}

TEST_F(Checkpoint, Load_NothingThere_SaysSo) {
  EXPECT_ERROR_MENTIONS(load_error(dir_ / "no-run"), "no-run", "there is no");
  EXPECT_ERROR_MENTIONS(load_error(run_), "checkpoints", "holds no checkpoint", "step-XXXXXXXX");
  EXPECT_ERROR_MENTIONS(load_error(tokenizer_), "some.model", "is a file");
  EXPECT_TRUE(find_latest_checkpoint(run_).empty());
  EXPECT_TRUE(find_latest_checkpoint(dir_ / "no-run").empty());
}

TEST_F(Checkpoint, Load_MissingFile_NamesIt) {
  for (const char* name : {"state.bin", "config.toml", "tokenizer.model"}) {
    const fs::path folder = save(100);
    fs::remove(folder / name);
    EXPECT_ERROR_MENTIONS(load_error(folder), "step-00000100", "not complete", name);
    EXPECT_ERROR_MENTIONS(load_error(run_), "no complete checkpoint");
    fs::remove_all(folder);
  }
}

TEST_F(Checkpoint, Load_CutShort_AtAnyLength) {
  const fs::path state = save(100) / "state.bin";
  const std::string whole = read_text_file(state);
  for (const size_t length : {size_t{0}, size_t{7}, size_t{8}, size_t{50}, size_t{103}, size_t{104}, size_t{112}, size_t{500}, whole.size() / 2,
                              whole.size() - 8, whole.size() - 1}) {
    overwrite(state, std::string_view(whole).substr(0, length));
    EXPECT_ERROR_MENTIONS(load_error(state.parent_path()), "state.bin", "cut short", fmt::format("{}", length));
  }
  overwrite(state, whole + "x");
  EXPECT_ERROR_MENTIONS(load_error(state.parent_path()), "state.bin", "damaged", fmt::format("{}", whole.size() + 1));
}

TEST_F(Checkpoint, Load_FlippedByte_Anywhere) {
  const fs::path state = save(100) / "state.bin";
  const std::string whole = read_text_file(state);
  for (size_t i = 0; i < whole.size(); i += i < 700 ? 1 : 997) {  // the whole header and much of the table; then samples
    std::string bytes = whole;
    bytes[i] = static_cast<char>(bytes[i] ^ (1 << (i % 8)));
    overwrite(state, bytes);
    EXPECT_ERROR_MENTIONS(load_error(state.parent_path()), "state.bin");
  }
  std::string last = whole;
  last.back() = static_cast<char>(last.back() ^ 0x80);
  overwrite(state, last);
  EXPECT_ERROR_MENTIONS(load_error(state.parent_path()), "state.bin", "checksum");
  overwrite(state, whole);
  EXPECT_EQ(load_error(state.parent_path()), "");
}

TEST_F(Checkpoint, Load_NotOurFileOrOtherVersion_SaysSo) {
  const fs::path state = save(100) / "state.bin";
  std::string bytes = read_text_file(state);
  bytes[8] = 4;
  overwrite(state, bytes);
  EXPECT_ERROR_MENTIONS(load_error(state.parent_path()), "state.bin", "version 4", "versions 2 and 3");
  overwrite(state, std::string(1000, 'x'));
  EXPECT_ERROR_MENTIONS(load_error(state.parent_path()), "state.bin", "not the state of a lapilli checkpoint");
}

// The checksum is made right again: what is behind it must find the damage.
TEST_F(Checkpoint, Load_ImpossibleNumbersUnderAGoodChecksum_AreRefused) {
  const fs::path state = save(100) / "state.bin";
  const std::string good = read_text_file(state);
  const auto error_with = [&](size_t at, uint64_t value, size_t width) {
    std::string bytes = good;
    std::memcpy(bytes.data() + at, &value, width);
    const uint64_t hash = hash_bytes(std::as_bytes(std::span(bytes)).first(bytes.size() - sizeof hash));
    std::memcpy(bytes.data() + bytes.size() - sizeof hash, &hash, sizeof hash);
    overwrite(state, bytes);
    return load_error(state.parent_path());
  };
  const uint64_t nan = 0x7FF8000000000000;
  EXPECT_EQ(error_with(40, 7, 8), "");                                                        // another step is no damage
  EXPECT_ERROR_MENTIONS(error_with(12, 0, 4), "state.bin", "damaged");                        // vocabulary
  EXPECT_ERROR_MENTIONS(error_with(12, 0xFFFFFFFF, 4), "state.bin", "does not fit");          // another one than the table's
  for (const uint64_t elements : {uint64_t{0}, uint64_t{1}, (uint64_t{1} << 62) + 1, ~uint64_t{0}})
    EXPECT_ERROR_MENTIONS(error_with(16, elements, 8), "state.bin");
  for (const uint64_t arrays : {0, 1, 2, 4}) EXPECT_ERROR_MENTIONS(error_with(24, arrays, 4), "state.bin", "damaged");
  for (const uint64_t parameters : {uint64_t{0}, uint64_t{1}, uint64_t{0xFFFFFFFF}})
    EXPECT_ERROR_MENTIONS(error_with(28, parameters, 4), "state.bin", "damaged");
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{8}, (uint64_t{1} << 63) + 8}) EXPECT_ERROR_MENTIONS(error_with(32, bytes, 8), "state.bin");
  for (const size_t number : {72, 80, 152, 160, 176, 184}) EXPECT_ERROR_MENTIONS(error_with(number, nan, 8), "state.bin", "damaged");
  // The table: length of the first name, its rank, its dimensions.
  EXPECT_ERROR_MENTIONS(error_with(208, 0xFFFFFFFF, 4), "state.bin", "damaged");
  EXPECT_ERROR_MENTIONS(error_with(212 + 10, 9, 4), "state.bin", "damaged");
  EXPECT_ERROR_MENTIONS(error_with(212 + 14, 0xFFFFFFFF, 4), "state.bin", "damaged");
  EXPECT_ERROR_MENTIONS(error_with(212 + 14, 0, 4), "state.bin", "damaged");
}

// As programs before this one wrote it.
TEST_F(Checkpoint, Load_Version2_CountsItsUpdates) {
  const fs::path state = save(100) / "state.bin";
  std::string bytes = read_text_file(state);
  bytes.erase(120, 88);
  bytes[8] = 2;
  const uint64_t hash = hash_bytes(std::as_bytes(std::span(bytes)).first(bytes.size() - sizeof hash));
  std::memcpy(bytes.data() + bytes.size() - sizeof hash, &hash, sizeof hash);
  overwrite(state, bytes);
  const TrainingState loaded = load_checkpoint(run_).state, saved = make_state(config_);
  EXPECT_EQ(loaded.updates, 97U);  // three overflowed
  EXPECT_EQ(loaded.evaluated_step, 100U);
  EXPECT_EQ(loaded.data_fingerprint, 0U);
  EXPECT_EQ(loaded.values, saved.values);
  EXPECT_EQ(loaded.second_moment, saved.second_moment);
}

TEST_F(Checkpoint, Load_OtherShapes_NamesTheParameter) {
  const fs::path folder = save(100);
  const auto error_with = [&](auto&& change) {
    Config other = config_;
    change(other.model);
    overwrite(folder / "config.toml", to_toml(other));
    return load_error(folder);
  };
  EXPECT_ERROR_MENTIONS(error_with([](ModelConfig& m) { m.dim = 16; }), "state.bin", "config.toml", "wte.weight", "[11, 8]", "[11, 16]");
  EXPECT_ERROR_MENTIONS(error_with([](ModelConfig& m) { m.ffn_dim = 31; }), "layers.0.fc.weight", "[32, 8]", "[31, 8]");
  EXPECT_ERROR_MENTIONS(error_with([](ModelConfig& m) { m.layers = 3; }), "layers.2.qkv.weight");
  EXPECT_ERROR_MENTIONS(error_with([](ModelConfig& m) { m.bias = false; }), "layers.0.norm1.bias");
  EXPECT_ERROR_MENTIONS(error_with([](ModelConfig& m) { m.tie_embeddings = false; }), "head.weight");
}

TEST_F(Checkpoint, Load_ChangedNeighbour_NamesIt) {
  const fs::path folder = save(100);
  overwrite(folder / "config.toml", to_toml(config_) + "# touched\n");
  EXPECT_ERROR_MENTIONS(load_error(folder), "config.toml", "do not match the checksum");
  overwrite(folder / "config.toml", "[model\n");
  EXPECT_ERROR_MENTIONS(load_error(folder), "config.toml:1", "TOML");
  overwrite(folder / "config.toml", to_toml(config_));
  overwrite(folder / "tokenizer.model", "another");
  EXPECT_ERROR_MENTIONS(load_error(folder), "tokenizer.model", "do not match the checksum");
}

TEST_F(Checkpoint, FindLatest_PassesOverIncompleteOnes) {
  for (const uint64_t step : {10U, 20U, 30U, 40U}) save(step);
  fs::remove(parent_ / "step-00000040" / "tokenizer.model");
  fs::resize_file(parent_ / "step-00000030" / "state.bin", 1000);
  EXPECT_EQ(find_latest_checkpoint(run_), parent_ / "step-00000020");
  EXPECT_EQ(load_checkpoint(parent_).state.step, 20U);
}

TEST_F(Checkpoint, Load_Damaged_PointsToAnotherOne) {
  save(10);
  const fs::path state = save(20) / "state.bin";
  std::string bytes = read_text_file(state);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  overwrite(state, bytes);
  EXPECT_ERROR_MENTIONS(load_error(run_), "step-00000020", "checksum", "another checkpoint is", "step-00000010");
}

}  // namespace
}  // namespace lapilli::testing
