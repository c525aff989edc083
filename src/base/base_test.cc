#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <limits>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bf16.h"
#include "base/check.h"
#include "base/count_text.h"
#include "base/cpu.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/thread_pool.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

TEST(Bf16, RoundsToNearestEvenAndKeepsSpecials) {
  EXPECT_EQ(to_bf16(1.0f).bits, 0x3f80);
  EXPECT_EQ(to_bf16(1.00390625f).bits, 0x3f80);  // half way, down to even
  EXPECT_EQ(to_bf16(1.01171875f).bits, 0x3f82);  // half way, up to even
  EXPECT_EQ(to_bf16(3.4e38f).bits, 0x7f80);      // rounds over the largest finite value
  EXPECT_TRUE(std::isnan(to_float(to_bf16(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_TRUE(std::isnan(to_float(to_bf16(std::bit_cast<float>(0x7f800001u)))));
  EXPECT_EQ(half_to_float(0x3c00), 1.0f);
  EXPECT_EQ(half_to_float(0xc000), -2.0f);
  EXPECT_EQ(half_to_float(0x0001), 0x1p-24f);
  EXPECT_EQ(half_to_float(0x7bff), 65504.0f);
  EXPECT_TRUE(std::isinf(half_to_float(0x7c00)));
}

// Known answers from Random123's kat_vectors (philox4x32, 10 rounds).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox(0, 0, 0), (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint64_t ones = ~uint64_t{0};
  EXPECT_EQ(philox(ones, ones, ones),
            (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox(0x299f31d0a4093822ull, 0x0370734413198a2eull, 0x85a308d3243f6a88ull),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Rng, BelowIsUniformAndNormalHasUnitVariance) {
  Rng rng(1);
  std::array<int, 7> counts{};
  for (int i = 0; i < 70000; ++i) ++counts[rng.below(7)];
  for (int count : counts) EXPECT_NEAR(count, 10000, 500);
  double sum = 0, squares = 0;
  for (int i = 0; i < 100000; ++i) {
    const double x = rng.normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / 1e5, 0, 0.02);
  EXPECT_NEAR(squares / 1e5, 1, 0.02);
}

TEST(ThreadPool, RunsEveryTaskOnceAndCanBeReused) {
  ThreadPool pool(4);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::atomic<int>> hits(round);
    pool.parallel_for(round, [&](int64_t i, int thread) {
      EXPECT_GE(thread, 0);
      EXPECT_LT(thread, 4);
      ++hits[i];
    });
    for (auto& hit : hits) EXPECT_EQ(hit.load(), 1);
  }
}

TEST(ThreadPool, ShortRegionsSeeEachOthersResults) {
  ThreadPool pool(6);  // more than there are processors, mostly
  std::vector<int64_t> numbers(24, 0);
  for (int64_t round = 0; round < 3000; ++round) {
    const int64_t before = numbers[static_cast<size_t>(round % 24)];
    pool.parallel_for(1 + round % 24, [&, before](int64_t i, int) {
      numbers[static_cast<size_t>(i)] = before + 1 + i;
    });
    for (int64_t i = 0; i <= round % 24; ++i) {
      ASSERT_EQ(numbers[static_cast<size_t>(i)], before + 1 + i) << round;
    }
  }
}

// Workers between distant regions, and the caller while they work.
TEST(ThreadPool, WakesThreadsThatSleep) {
  const timespec long_enough_to_sleep = {0, 300'000};
  ThreadPool pool(3);
  for (int round = 0; round < 20; ++round) {
    nanosleep(&long_enough_to_sleep, nullptr);
    std::atomic<int> inside = 0;
    pool.parallel_for(3, [&](int64_t, int thread) {
      for (++inside; inside < 3;) std::this_thread::yield();  // each thread has one task
      if (thread != 0) nanosleep(&long_enough_to_sleep, nullptr);
    });
    EXPECT_EQ(inside, 3);
  }
}

std::atomic<bool> worker_held{false};
std::atomic<bool> worker_released{false};

void hold_worker(int) {
  worker_held = true;
  for (int i = 0; i < 20'000 && !worker_released; ++i) {
    const timespec millisecond = {0, 1'000'000};
    nanosleep(&millisecond, nullptr);
  }
  worker_held = false;
}

// A worker that the system keeps from running, here by a signal, holds up no region that it has no
// task of.
TEST(ThreadPool, ARegionEndsWithoutAWorkerThatDoesNotRun) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer puts signals off";
#endif
  struct sigaction hold = {}, before = {};
  hold.sa_handler = hold_worker;
  ASSERT_EQ(sigaction(SIGUSR1, &hold, &before), 0);
  {
    ThreadPool pool(2);
    std::atomic<int> inside = 0;
    pthread_t worker = {};
    pool.parallel_for(2, [&](int64_t, int thread) {
      if (thread == 1) worker = pthread_self();
      // Neither thread has both tasks.
      for (++inside; inside < 2;) std::this_thread::yield();
    });
    ASSERT_EQ(pthread_kill(worker, SIGUSR1), 0);
    while (!worker_held) std::this_thread::yield();
    int tasks = 0;
    pool.parallel_for(100, [&](int64_t, int) { ++tasks; });
    EXPECT_EQ(tasks, 100);
    EXPECT_TRUE(worker_held) << "the region waited for the worker";
    worker_released = true;
  }
  EXPECT_EQ(sigaction(SIGUSR1, &before, nullptr), 0);
}

// Its threads ask the system for short turns, and for nothing else.
TEST(ThreadPool, LeavesPriorityAndPolicyOfThreadsAlone) {
  const int before = getpriority(PRIO_PROCESS, 0);
  const int wanted = std::min(before + 3, 19);
  std::thread([&] {  // a thread has a priority of its own
    ASSERT_EQ(setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), wanted), 0);
    ThreadPool pool(3);
    std::atomic<int> inside = 0;
    pool.parallel_for(3, [&](int64_t, int thread) {
      for (++inside; inside < 3;) std::this_thread::yield();  // each thread has one task
      EXPECT_EQ(getpriority(PRIO_PROCESS, static_cast<id_t>(gettid())), wanted) << thread;
      EXPECT_EQ(sched_getscheduler(gettid()), SCHED_OTHER) << thread;
    });
  })
      .join();
  EXPECT_EQ(getpriority(PRIO_PROCESS, 0), before);
}

TEST(ThreadPool, RethrowsATasksException) {
  ThreadPool pool(3);
  EXPECT_THROW(pool.parallel_for(100,
                                 [](int64_t i, int) {
                                   if (i == 57) throw std::runtime_error("task 57");
                                 }),
               std::runtime_error);
  int sum = 0;
  pool.parallel_for(1, [&](int64_t, int) { ++sum; });
  EXPECT_EQ(sum, 1);
}

TEST(Json, RefusesRepeatedKeysDeepNestingAndTrailingText) {
  EXPECT_OK(parse_json(R"({"a": [1, {"b": 2}], "c": {"b": 1}})", "x"));
  EXPECT_ERROR_SAYS(parse_json(R"({"a": 1, "a": 2})", "config.json"), "config.json", "'a'",
                    "twice");
  EXPECT_ERROR_SAYS(parse_json(std::string(100000, '['), "x"), "nested deeper");
  EXPECT_ERROR_SAYS(parse_json("{} x", "x"), "not valid JSON");
  EXPECT_ERROR_SAYS(parse_json(std::string_view("{}\0 x", 5), "x"), "byte 2 is zero");
  EXPECT_ERROR_SAYS(parse_json("", "x"), "not valid JSON");
}

TEST(Json, TypedLookUpsNameKeyValueAndExpectation) {
  const Json object = parse_json(R"({"n": 7, "big": 18446744073709551615, "s": "x"})", "x").value();
  EXPECT_EQ(json_int(object, "n", 0, 1, 10).value(), 7);
  EXPECT_EQ(json_int(object, "absent", 3, 1, 10).value(), 3);
  EXPECT_ERROR_SAYS(json_int(object, "n", 0, 8, 10), "'n'", "7", "from 8 to 10");
  EXPECT_ERROR_SAYS(json_int(object, "big", 0, 0, 10), "'big'");
  EXPECT_ERROR_SAYS(json_int(object, "s", 0, 0, 10), "'s'", "\"x\"", "integer");
}

TEST(File, AtomicWriterLeavesNothingWithoutCommit) {
  const TempDir dir;
  {
    auto writer = AtomicFileWriter::create(dir.file("out"));
    ASSERT_OK(writer);
    ASSERT_OK(writer->write("half"));
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
  EXPECT_ERROR_SAYS(AtomicFileWriter::create(dir.path()), "is a directory");
  EXPECT_ERROR_SAYS(AtomicFileWriter::create(""), "'' is no path; expected a file");
  EXPECT_ERROR_SAYS(AtomicFileWriter::create("/dev/null"), "'/dev/null' is a device or a pipe");
  EXPECT_ERROR_SAYS(AtomicFileWriter::create("/dev/stdout"), "is a device or a pipe");
  ASSERT_EQ(::mkfifo(dir.file("pipe").c_str(), 0600), 0);
  EXPECT_ERROR_SAYS(write_text_file(dir.file("pipe"), "x"), "is a device or a pipe");
  std::filesystem::remove(dir.file("pipe"));
  ASSERT_OK(write_text_file(dir.file("out"), "whole"));
  EXPECT_EQ(read_text_file(dir.file("out")).value(), "whole");
  EXPECT_ERROR_SAYS(read_text_file(dir.file("absent")), "absent", "No such file");
  EXPECT_ERROR_SAYS(MappedFile::open(dir.path()), "not a regular file");
}

TEST(Result, IsReadThroughPointers) {
  const Result<std::string> constant(std::string("abc"));
  EXPECT_EQ(constant->size(), 3u);
  EXPECT_EQ(*constant, "abc");
  Result<std::unique_ptr<int>> owner(std::make_unique<int>(3));
  EXPECT_EQ(**owner, 3);
  const std::unique_ptr<int> taken = *std::move(owner);
  EXPECT_EQ(*taken, 3);
}

TEST(File, WritesThroughLinks) {
  const TempDir dir;
  const TempDir other;
  std::filesystem::create_symlink(other.file("file"), dir.file("link"));  // a file not there yet
  std::filesystem::create_symlink("link", dir.file("link2"));
  for (const char* text : {"1", "2"}) {
    ASSERT_OK(write_text_file(dir.file("link2"), text));
    EXPECT_TRUE(std::filesystem::is_symlink(dir.file("link")));
    EXPECT_TRUE(std::filesystem::is_symlink(dir.file("link2")));
    EXPECT_EQ(read_text_file(other.file("file")).value(), text);
  }
  EXPECT_EQ(list_directory(other.path()).value(), std::vector<std::string>{"file"});
  std::filesystem::create_symlink(other.file("none/file"), dir.file("lost"));
  EXPECT_ERROR_SAYS(write_text_file(dir.file("lost"), "x"), "none/file", "No such file");
  std::filesystem::create_symlink("loop", dir.file("loop"));
  EXPECT_ERROR_SAYS(write_text_file(dir.file("loop"), "x"), "loop", "Too many levels");
  std::filesystem::create_symlink("/dev/null", dir.file("null"));
  EXPECT_ERROR_SAYS(write_text_file(dir.file("null"), "x"), "is a device or a pipe");
  // Links that are open files.
  const int opened = ::open(other.file("file").c_str(), O_WRONLY | O_CLOEXEC);
  const std::string descriptor = fmt::format("/dev/fd/{}", opened);
  std::filesystem::create_symlink(descriptor, dir.file("descriptor"));
  for (const std::string& path : {descriptor, dir.file("descriptor")}) {
    EXPECT_ERROR_SAYS(write_text_file(path, "x"), "is a device or a pipe");
  }
  ::close(opened);
}

TEST(File, APlaceIsCheckedWithoutWriting) {
  const TempDir dir;
  EXPECT_OK(check_writable_directory(dir.path()));
  EXPECT_OK(check_writable_directory(dir.file("new/deeper/")));
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
  ASSERT_OK(write_text_file(dir.file("file"), "x"));
  EXPECT_ERROR_SAYS(check_writable_directory(dir.file("file/new")), "file' is not a directory");
  // Root may write anywhere.
  const bool root = ::geteuid() == 0;
  std::filesystem::permissions(dir.path(), std::filesystem::perms(0555));
  if (root && ::seteuid(65534) != 0) GTEST_SKIP() << "no other user here";
  const Status status = check_writable_directory(dir.file("new"));
  if (root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
  std::filesystem::permissions(dir.path(), std::filesystem::perms(0755));
  EXPECT_ERROR_SAYS(status, "cannot write into", dir.path().c_str(), "Permission denied");
}

TEST(File, ListsAndMeasuresWhatIsThere) {
  const TempDir dir;
  const std::string loop = dir.file("loop");
  std::filesystem::create_symlink(loop, loop);
  EXPECT_OK(write_text_file(dir.file("b"), "text"));
  EXPECT_OK(write_text_file(dir.file("a"), ""));
  EXPECT_EQ(list_directory(dir.path()).value(), (std::vector<std::string>{"a", "b", "loop"}));
  EXPECT_EQ(file_size(dir.file("b")).value(), 4);
  for (const std::string& path : {loop, dir.file("none")}) {
    EXPECT_ERROR_SAYS(list_directory(path), path.c_str());
    EXPECT_ERROR_SAYS(file_size(path), path.c_str());
    EXPECT_FALSE(is_directory(path));
    EXPECT_EQ(name_exists(path), path == loop);
  }
}

TEST(Cpu, ForcedIsaMustExist) {
  const char* before = std::getenv("LOOPLM_ISA");
  const std::string saved = before == nullptr ? "" : before;
  ASSERT_EQ(setenv("LOOPLM_ISA", "portable", 1), 0);
  EXPECT_EQ(choose_isa().value(), Isa::kPortable);
  ASSERT_EQ(setenv("LOOPLM_ISA", "neon", 1), 0);
  EXPECT_ERROR_SAYS(choose_isa(), "LOOPLM_ISA", "neon", "portable");
  ASSERT_EQ(setenv("LOOPLM_ISA", saved.c_str(), 1), 0);  // empty means unset
  EXPECT_ERROR_SAYS(choose_thread_count(-1), "-1", "1 to 1024");
}

TEST(Cpu, TheFastestSetIsARuleNotATiming) {
  const std::vector<Isa> all = {Isa::kPortable, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16,
                                Isa::kAmx};
  const auto fastest = [&](size_t count, const char* vendor) {
    return fastest_isa(std::span(all).first(count), vendor);
  };
  for (const char* vendor : {"GenuineIntel", "AuthenticAMD", ""}) {
    EXPECT_EQ(fastest(1, vendor), Isa::kPortable);
    EXPECT_EQ(fastest(3, vendor), Isa::kAvx512);
    EXPECT_EQ(fastest(5, vendor), Isa::kAmx);
  }
  EXPECT_EQ(fastest(4, "AuthenticAMD"), Isa::kAvx512Bf16);
  EXPECT_EQ(fastest(4, "GenuineIntel"), Isa::kAvx512);  // its bf16 dot products are slow
  // What runs natively runs; tiles may be emulated besides.
  for (Isa isa : native_isas()) {
    EXPECT_NE(std::find(available_isas().begin(), available_isas().end(), isa),
              available_isas().end());
  }
}

TEST(Check, ThrowsWithValues) {
  const int x = 3;
  try {
    LOOPLM_CHECK(x == 4, "x is {}", x);
    FAIL();
  } catch (const CheckError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("x == 4: x is 3"));
  }
}

TEST(CountText, AgreesWithItsNumber) {
  EXPECT_EQ(count_text(0, "document"), "0 documents");
  EXPECT_EQ(count_text(1, "document"), "1 document");
  EXPECT_EQ(count_text(size_t{2}, "matrix", "matrices"), "2 matrices");
  EXPECT_EQ(count_text(int64_t{1}, "matrix", "matrices"), "1 matrix");
}

TEST(Memory, IsWhatTheContainerAllows) {
  const std::string info = "MemTotal:       1000 kB\nMemFree:  5 kB\nMemAvailable:    600 kB\n";
  const auto memory = [&](const std::string& limit, const std::string& used) {
    return machine_memory_of(info, limit, used).value();
  };
  EXPECT_EQ(memory("", "").total, 1000u * 1024);
  EXPECT_EQ(memory("", "").free, 600u * 1024);
  EXPECT_EQ(memory("max\n", "4096\n").total, 1000u * 1024);
  EXPECT_EQ(memory("102400\n", "2400\n").total, 102400u);
  EXPECT_EQ(memory("102400\n", "2400\n").free, 100000u);
  EXPECT_EQ(memory("102400\n", "999999\n").free, 0u);
  EXPECT_EQ(memory("99999999\n", "0\n").total, 1000u * 1024);
  EXPECT_EQ(memory("", "").swap, 0u);
  EXPECT_EQ(machine_memory_of(info + "SwapTotal: 20 kB\n", "", "").value().swap, 20u * 1024);
  EXPECT_EQ(machine_memory_of(info + "SwapTotal: 20 kB\n", "102400\n", "").value().swap, 0u);
  EXPECT_ERROR_SAYS(machine_memory_of("MemTotal: 1 kB", "", ""), "MemAvailable");
  EXPECT_ERROR_SAYS(machine_memory_of("MemTotal: many", "", ""), "MemTotal");
  Result<MachineMemory> here = machine_memory();
  ASSERT_OK(here);
  EXPECT_GT(here->total, here->free);
}

}  // namespace
}  // namespace looplm
