#pragma once
// state.bin of a checkpoint. Layout of version 3, little-endian:
//
//   offset  bytes
//        0  8       "LAPISTAT"
//        8  4       version, 3
//       12  4       vocabulary size
//       16  8       elements of one array
//       24  4       arrays: 1 (values) or 3 (values, first moment, second moment)
//       28  4       parameters in the table
//       32  8       bytes of the table, a multiple of 8
//       40  8       step
//       48  8       next_batch
//       56  8       seed
//       64  8       tokens
//       72  8       best_val_loss, f64
//       80  8       loss scale, f64
//       88  4       good steps since it last changed
//       92  4       steps that overflowed
//       96  8       TrainingState::tokenizer_hash
//      104  8       XXH3 of config.toml beside it
//      112  8       XXH3 of the tokenizer beside it
//      120  8       updates
//      128  8       best_step
//      136  8       evaluated_step
//      144  8       data_fingerprint
//      152  24      trend of the loss: mean f64, variance f64, count u64
//      176  24      trend of the logarithm of the gradient norm, the same
//      200  4       not_finite_in_a_row
//      204  4       zero
//      208          table: for each parameter, in the order of the flat array: u32 length of the name, the name, u32
//                   rank, u32 for each dimension; zeros up to a multiple of 8
//                   the arrays, f32
//      end-8  8     XXH3 of all bytes before
//
// Version 2 has no bytes 120 to 207; it is read, and its updates are its steps without those that overflowed.
// The same state gives the same bytes: nothing depends on time, path or machine.

#include <filesystem>
#include <string>
#include <vector>

#include "model/io/training_state.h"
#include "model/transformer/parameters.h"

namespace lapilli {

struct NamedShape {
  std::string name;
  Shape shape;
};

struct StateFile {
  uint32_t vocab_size = 0;
  uint64_t config_hash = 0, tokenizer_file_hash = 0;  // of the files beside it
  std::vector<NamedShape> table;
  TrainingState state;
};

// REQUIRES: arrays of the table's length; both moments present or both empty.
void write_state_file(const std::filesystem::path& path, const ParameterTable& table, const TrainingState& state, uint32_t vocab_size,
                      uint64_t config_hash, uint64_t tokenizer_file_hash);

// Verifies everything it reads. Errors: missing, not such a file, another version, truncated, corrupt.
StateFile read_state_file(const std::filesystem::path& path);

// Whether header and length are valid; does not compute the checksum.
bool is_whole_state_file(const std::filesystem::path& path);

}  // namespace lapilli
