#pragma once
// What `lapilli check` found, remembered beside the tuning results of the device: for one driver and one set of kernels. Tuning never
// takes a candidate that was found wrong (engine/tuning/tuner.h); training refuses where there is no other.

#include <string>
#include <vector>

#include "engine/tuning/tuning_file.h"
#include "tools/check/check_run.h"

namespace lapilli::check {

// The wrong ones, each essential or with others in its place. REQUIRES: results of these checks.
std::vector<WrongKernel> wrong_kernels(const std::vector<KernelCheck>& checks, const std::vector<KernelResult>& results);

// "3 of 143 kernel variants are wrong: ...; ..." or "143 kernel variants, all right", with the device's name.
std::string verdict(const DeviceCaps& device, const std::vector<KernelCheck>& checks, const std::vector<KernelResult>& results);

// Runs the checks and remembers the results. A variant at which the process dies counts as wrong from then on. `quick`: what an
// earlier run found of other variants stays. `file` empty: the device's own.
std::vector<KernelResult> run_and_remember(KernelLibrary& kernels, const std::string& kernels_hash, const std::vector<KernelCheck>& checks,
                                           bool quick, const std::filesystem::path& file = {},
                                           const std::function<void(const CheckProgress&)>& on_progress = {});

// Throws Error when a kernel that training in this precision cannot do without was found wrong, with its name and what to do.
void require_right_kernels(const DeviceCaps& device, const std::string& kernels_hash, Precision precision, const std::filesystem::path& file = {});

}  // namespace lapilli::check
