#include <atomic>
#include <chrono>
#include <thread>

#include "tests/tokenizer/support.h"
#include "tokenizer/data/batch_stream.h"

namespace lapilli::testing {
namespace {

Batch numbered(uint64_t index) {
  Batch batch;
  batch.index = index;
  return batch;
}

TEST(Prefetcher, Next_GivesConsecutiveBatches) {
  Prefetcher prefetcher(numbered, 5);
  for (uint64_t i = 5; i < 300; ++i) ASSERT_EQ(prefetcher.next().index, i);
}

TEST(Prefetcher, Seek_NextIsThatBatch) {
  Prefetcher prefetcher(numbered, 0, 3);
  for (const uint64_t target : {17u, 3u, 3u, 1000u, 0u}) {
    prefetcher.seek(target);
    for (uint64_t i = 0; i < 5; ++i) ASSERT_EQ(prefetcher.next().index, target + i);
  }
}

TEST(Prefetcher, SeekWhileABatchIsBeingMade_ThatBatchIsDropped) {
  std::atomic<bool> making = false, released = false;
  Prefetcher prefetcher([&](uint64_t index) {
    if (index == 0) {
      making = true;
      while (!released) std::this_thread::yield();
    }
    return numbered(index);
  });
  while (!making) std::this_thread::yield();
  prefetcher.seek(50);
  released = true;
  EXPECT_EQ(prefetcher.next().index, 50u);
  EXPECT_EQ(prefetcher.next().index, 51u);
}

TEST(Prefetcher, SlowConsumer_AtMostDepthBatchesAreMadeAhead) {
  std::atomic<uint64_t> made = 0;
  Prefetcher prefetcher([&](uint64_t index) { return ++made, numbered(index); }, 0, 2);
  prefetcher.next();
  while (made.load() < 2) std::this_thread::yield();  // endless if nothing is prefetched
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_LE(made.load(), 3u);
}

TEST(Prefetcher, ProducerThrows_ConsumerGetsItInOrder) {
  Prefetcher prefetcher([](uint64_t index) {
    if (index == 3) throw Error("batch {} cannot be made", index);
    return numbered(index);
  });
  for (uint64_t i = 0; i < 3; ++i) EXPECT_EQ(prefetcher.next().index, i);
  for (int i = 0; i < 2; ++i) EXPECT_ERROR_MENTIONS(error_of([&] { prefetcher.next(); }), "batch 3 cannot be made");
  prefetcher.seek(4);
  EXPECT_EQ(prefetcher.next().index, 4u);
}

TEST(Prefetcher, DestroyedAtAnyMoment_EndsCleanly) {
  for (int i = 0; i < 200; ++i) {
    Prefetcher prefetcher(numbered, 0, 4);
    if (i % 3 != 0) prefetcher.next();
    if (i % 5 == 0) prefetcher.seek(9);
  }
}

TEST(Prefetcher, OverABatchStream_SameBatchesAsAskingDirectly) {
  const TempDir dir;
  std::vector<uint32_t> tokens(500);
  for (uint32_t i = 0; i < 500; ++i) tokens[i] = i % 37;
  const TokenShard shard(write_shard(dir / "s.bin", tokens, 37));
  const BatchStream stream(shard, {.batch = 4, .context = 32}, 5);
  Prefetcher prefetcher([&](uint64_t index) { return stream.batch(index); }, 10);
  for (uint64_t i = 10; i < 20; ++i) EXPECT_EQ(prefetcher.next().inputs, stream.batch(i).inputs);
}

}  // namespace
}  // namespace lapilli::testing
