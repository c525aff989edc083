// The tile instructions themselves, held against their emulation. Where the processor has no tiles,
// each instruction traps, and the trap's handler does what the manual says of it (Intel 64 and
// IA-32 Architectures Software Developer's Manual, volume 2, and chapter 18 of volume 1 for the
// configuration). So the encoded instructions are tested, not only the code around them.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <csignal>
#include <cstring>

#include <gtest/gtest.h>

#include "base/bf16.h"
#include "base/cpu.h"
#include "base/rng.h"
#include "kernels/attention.h"
#include "kernels/kernels.h"

#if defined(LOOPLM_X86_KERNELS)
#include <ucontext.h>

namespace looplm {
namespace {

// ---- What the processor would do

struct Unit {
  bool configured = false;
  std::array<int, 8> rows{};
  std::array<int, 8> row_bytes{};
  uint8_t tiles[8][16][64];
};
thread_local Unit unit;

// Sapphire Rapids' first cache: 48 KiB, twelve lines to a place, of which the one that was not used
// for longest makes way.
class FirstCache {
 public:
  // Loads past it leave it as it is.
  void touch(uint64_t address, bool stays) {
    const uint64_t line = address / 64;
    std::array<uint64_t, 12>& place = places_[line % places_.size()];
    auto at = std::find(place.begin(), place.end(), line);
    if (at == place.end()) {
      ++missed_;
      if (!stays) return;
      --at;
      *at = line;
    }
    std::rotate(place.begin(), at, at + 1);
  }
  void count_product() { ++products_; }
  void count_transfer() { ++transfers_; }
  // Of lines that were missing; a product of tiles takes 16 cycles.
  double bytes_per_cycle() const {
    return 64.0 * static_cast<double>(missed_) / (16.0 * static_cast<double>(products_));
  }
  // Tiles loaded and stored.
  double transfers_per_product() const {
    return static_cast<double>(transfers_) / static_cast<double>(products_);
  }

 private:
  std::array<std::array<uint64_t, 12>, 64> places_{};
  int64_t missed_ = 0;
  int64_t products_ = 0;
  int64_t transfers_ = 0;
};
thread_local FirstCache* cache = nullptr;  // that sees what tiles load and store

template <typename T>
T read_as(const uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

// A configuration that would fault leaves the unit without one, and the next instruction fails.
void configure(const uint8_t* config) {
  unit.configured = config[0] == 1 && config[1] == 0 &&
                    std::all_of(config + 2, config + 16, [](uint8_t x) { return x == 0; });
  for (int t = 0; t < 16; ++t) {
    const int bytes = read_as<uint16_t>(config + 16 + 2 * t), rows = config[48 + t];
    if (t < 8) {
      unit.row_bytes[static_cast<size_t>(t)] = bytes;
      unit.rows[static_cast<size_t>(t)] = rows;
      unit.configured = unit.configured && bytes <= 64 && rows <= 16;
    } else {
      unit.configured = unit.configured && bytes == 0 && rows == 0;
    }
  }
  std::memset(unit.tiles, 0, sizeof(unit.tiles));
}

float without_denormals(float x) {
  return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x;
}
float bf16_at(const uint8_t* from) {
  const auto bits = static_cast<uint32_t>(read_as<uint16_t>(from)) << 16;
  return without_denormals(std::bit_cast<float>(bits));
}
float multiply_add(float a, float b, float sum) { return without_denormals(std::fma(a, b, sum)); }

void dot_bf16(int c, int a, int b) {
  for (int m = 0; m < 16; ++m) {
    for (int n = 0; n < 16; ++n) {
      float even = 0, odd = 0;
      for (int k = 0; k < 16; ++k) {
        const uint8_t* x = unit.tiles[a][m] + 4 * k;
        const uint8_t* y = unit.tiles[b][k] + 4 * n;
        even = multiply_add(bf16_at(x), bf16_at(y), even);
        odd = multiply_add(bf16_at(x + 2), bf16_at(y + 2), odd);
      }
      uint8_t* to = unit.tiles[c][m] + 4 * n;
      const float both = without_denormals(even + odd);
      const float sum = without_denormals(without_denormals(read_as<float>(to)) + both);
      std::memcpy(to, &sum, sizeof(sum));
    }
  }
}

void dot_signed(int c, int a, int b) {
  for (int m = 0; m < 16; ++m) {
    for (int n = 0; n < 16; ++n) {
      uint8_t* to = unit.tiles[c][m] + 4 * n;
      auto sum = read_as<int32_t>(to);
      for (int k = 0; k < 64; ++k) {
        sum += static_cast<int8_t>(unit.tiles[a][m][k]) *
               static_cast<int8_t>(unit.tiles[b][k / 4][4 * n + k % 4]);
      }
      std::memcpy(to, &sum, sizeof(sum));
    }
  }
}

// An instruction in VEX encoding with three prefix bytes, taken apart.
struct Decoded {
  int map, pp, vvvv, opcode, reg, rm;
  bool memory;
  uint64_t base = 0;   // of a memory operand, its displacement included
  uint64_t index = 0;  // of a memory operand
  uint64_t length;
};

Decoded decode(const uint8_t* code, const greg_t* registers) {
  static constexpr std::array<int, 16> kOrder = {
      REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
      REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  const auto value = [&](int index) {
    return static_cast<uint64_t>(registers[kOrder[static_cast<size_t>(index)]]);
  };
  Decoded d{};
  const int x = (~code[1] >> 6) & 1, b = (~code[1] >> 5) & 1;
  d.map = code[1] & 31;
  d.pp = code[2] & 3;
  d.vvvv = (~code[2] >> 3) & 15;
  d.opcode = code[3];
  const int mod = code[4] >> 6;
  d.reg = (code[4] >> 3) & 7;
  d.rm = code[4] & 7;
  d.memory = mod != 3;
  d.length = 5;
  if (!d.memory) return d;
  int base = d.rm;
  if (d.rm == 4) {
    const int sib = code[d.length++];
    const int index = ((sib >> 3) & 7) | x << 3;
    if (index != 4) d.index = value(index) << (sib >> 6);
    base = sib & 7;
  }
  const bool absolute = mod == 0 && base == 5;
  if (!absolute) d.base = value(base | b << 3);
  if (mod == 1) {
    d.base += static_cast<uint64_t>(static_cast<int64_t>(static_cast<int8_t>(code[d.length])));
    d.length += 1;
  } else if (mod == 2 || absolute) {
    d.base += static_cast<uint64_t>(static_cast<int64_t>(read_as<int32_t>(code + d.length)));
    d.length += 4;
  }
  if (absolute && d.rm == 5) d.base += static_cast<uint64_t>(registers[REG_RIP]) + d.length;
  return d;
}

// False where it is no instruction of this unit, or one that would fault.
bool execute(const Decoded& d) {
  enum Prefix { kNone, k66, kF3, kF2 };
  if (d.map != 2) return false;
  if (d.opcode == 0x49 && d.pp == kNone && d.memory && d.reg == 0) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): a register's address
    configure(reinterpret_cast<const uint8_t*>(d.base));
    return unit.configured;
  }
  if (!unit.configured) return false;
  if (d.opcode == 0x49 && d.pp == kNone && !d.memory) {
    unit.configured = false;
    return true;
  }
  const auto whole = [&](int t) {
    return unit.rows[static_cast<size_t>(t)] == 16 && unit.row_bytes[static_cast<size_t>(t)] == 64;
  };
  if (!whole(d.reg)) return false;
  if (d.opcode == 0x49 && d.pp == kF2 && !d.memory && d.rm == 0) {
    std::memset(unit.tiles[d.reg], 0, sizeof(unit.tiles[d.reg]));
    return true;
  }
  if (d.opcode == 0x4b && d.memory && d.pp != kNone) {
    if (cache != nullptr) cache->count_transfer();
    for (uint64_t m = 0; m < 16; ++m) {
      // NOLINTNEXTLINE(performance-no-int-to-ptr): a register's address
      auto* row = reinterpret_cast<uint8_t*>(d.base + m * d.index);
      if (cache != nullptr) cache->touch(d.base + m * d.index, d.pp != k66);
      if (d.pp == kF3) {
        std::memcpy(row, unit.tiles[d.reg][m], 64);
      } else {
        std::memcpy(unit.tiles[d.reg][m], row, 64);
      }
    }
    return true;
  }
  // Operands are three different tiles, or the instruction faults.
  if (d.memory || d.vvvv > 7 || !whole(d.rm) || !whole(d.vvvv) || d.reg == d.rm ||
      d.reg == d.vvvv || d.rm == d.vvvv) {
    return false;
  }
  if (cache != nullptr) cache->count_product();
  if (d.opcode == 0x5c && d.pp == kF3) {
    dot_bf16(d.reg, d.rm, d.vvvv);
  } else if (d.opcode == 0x5e && d.pp == kF2) {
    dot_signed(d.reg, d.rm, d.vvvv);
  } else {
    return false;
  }
  return true;
}

void on_illegal_instruction(int signal, siginfo_t*, void* context) {
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): a register's address
  const auto* code = reinterpret_cast<const uint8_t*>(registers[REG_RIP]);
  constexpr uint8_t kThreeByteVex = 0xc4;
  if (code[0] == kThreeByteVex) {
    const Decoded d = decode(code, registers);
    if (execute(d)) {
      registers[REG_RIP] += static_cast<greg_t>(d.length);
      return;
    }
  }
  std::signal(signal, SIG_DFL);  // comes again, and ends the test
}

// While it lives, tile instructions work.
class TrappedTiles {
 public:
  TrappedTiles() {
    if (native_isas().back() == Isa::kAmx) return;
    struct sigaction action = {};
    action.sa_sigaction = on_illegal_instruction;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGILL, &action, &before_);
    installed_ = true;
  }
  ~TrappedTiles() {
    if (installed_) sigaction(SIGILL, &before_, nullptr);
  }
  TrappedTiles(const TrappedTiles&) = delete;
  TrappedTiles& operator=(const TrappedTiles&) = delete;

 private:
  struct sigaction before_ = {};
  bool installed_ = false;
};

// ---- Tests

using AddKernels = void (*)(cpu::KernelTable&);

cpu::KernelTable table_with(AddKernels add) {
  cpu::KernelTable table = *cpu::kernel_table(Isa::kAvx512);
  add(table);
  return table;
}

std::vector<float> random_floats(size_t count, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(count);
  for (float& x : values) x = rng.normal();
  return values;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

struct Shape {
  int64_t rows, terms, columns;
};

// x w^T, or with `transposed` x^T given by its rows, added to `before` everywhere.
std::vector<float> product_of(const Shape& s, const std::vector<float>& x, bool transposed,
                              const PackedMatrix& w, Device& device, float before = 1) {
  std::vector<float> y(static_cast<size_t>(s.rows * s.columns), before);
  MatmulParams p;
  p.a = x.data();
  p.a_row_stride = transposed ? 1 : s.terms;
  p.a_term_stride = transposed ? s.rows : 1;
  p.rows = s.rows;
  p.b = &w;
  p.c = y.data();
  p.c_row_stride = s.columns;
  p.accumulate = true;
  matmul(p, device);
  return y;
}

class TileInstructions : public testing::Test {
 protected:
  void SetUp() override {
    if (native_isas().back() < Isa::kAvx512Bf16) GTEST_SKIP() << "needs AVX-512 with bf16";
    if (native_isas().back() == Isa::kAmx) return;
    // Where there are tiles without permission to use them, this one does not trap, but others do.
    const TrappedTiles trapped;
    alignas(64) const std::array<uint8_t, 64> config = {1};
    asm volatile("ldtilecfg %0" : : "m"(config));
    const bool traps = unit.configured;
    asm volatile("tilerelease");
    if (!traps) GTEST_SKIP() << "the system refuses the tiles";
  }

  PackedMatrix packed(const Shape& s, const std::vector<float>& w, Quant quant) {
    PackedMatrix out = quant == Quant::kNone ? PackedMatrix(s.terms, s.columns, DType::kBf16)
                                             : PackedMatrix(s.terms, s.columns, quant);
    const std::array<MatrixSource, 1> source = {
        {{w.data(), DType::kF32, s.columns, s.terms, s.terms}}};
    pack_rows(source, out, *emulated_);
    return out;
  }

  const cpu::KernelTable instruction_kernels_ = table_with(cpu::amx::add_kernels);
  const cpu::KernelTable emulated_kernels_ = table_with(cpu::amx_emulated::add_kernels);
  std::unique_ptr<Device> instructions_ = std::make_unique<Device>(2, instruction_kernels_);
  std::unique_ptr<Device> emulated_ = std::make_unique<Device>(2, emulated_kernels_);
};

// Rows from one to more than a product of two blocks; steps over two chunks, and over two parts of
// A; columns cut off.
constexpr std::array<Shape, 9> kShapes = {{{1, 100, 40},
                                           {3, 64, 64},
                                           {5, 70, 40},
                                           {16, 33, 90},
                                           {20, 130, 17},
                                           {40, 580, 49},
                                           {130, 64, 32},
                                           {100, 1090, 33},
                                           {250, 2090, 33}}};

TEST_F(TileInstructions, ProductsOfBf16AreTheEmulations) {
  const TrappedTiles trapped;
  for (const Shape& s : kShapes) {
    SCOPED_TRACE(s.rows);
    const std::vector<float> x = random_floats(static_cast<size_t>(s.rows * s.terms), 1);
    const std::vector<float> w = random_floats(static_cast<size_t>(s.columns * s.terms), 2);
    const PackedMatrix matrix = packed(s, w, Quant::kNone);
    for (bool transposed : {false, true}) {
      EXPECT_TRUE(same_bits(product_of(s, x, transposed, matrix, *instructions_),
                            product_of(s, x, transposed, matrix, *emulated_)))
          << "transposed " << transposed;
    }
  }
}

TEST_F(TileInstructions, ProductsOfSmallIntegersAreTheEmulations) {
  const TrappedTiles trapped;
  for (Quant quant : {Quant::kInt8, Quant::kInt4}) {
    for (const Shape& s : kShapes) {
      SCOPED_TRACE(s.rows);
      const std::vector<float> x = random_floats(static_cast<size_t>(s.rows * s.terms), 1);
      const PackedMatrix matrix =
          packed(s, random_floats(static_cast<size_t>(s.columns * s.terms), 2), quant);
      EXPECT_TRUE(same_bits(product_of(s, x, false, matrix, *instructions_),
                            product_of(s, x, false, matrix, *emulated_)));
    }
  }
}

// Tiles load 64 bytes a cycle when products follow each other. A second-level cache gives some 48.
TEST_F(TileInstructions, ManyRowsLoadMostlyFromTheFirstCache) {
  if (native_isas().back() == Isa::kAmx) GTEST_SKIP() << "nothing traps, so nothing is counted";
  const TrappedTiles trapped;
  constexpr Shape kShape = {256, 1024, 64};
  constexpr int64_t kStride = 2048;  // C's rows share few places of the cache
  Device device(1, instruction_kernels_);
  const std::vector<float> x(kShape.rows * kShape.terms, 1.0f);
  const PackedMatrix w =
      packed(kShape, std::vector<float>(kShape.columns * kShape.terms, 1.0f), Quant::kNone);
  std::vector<float> y(kShape.rows * kStride);
  MatmulParams p;
  p.a = x.data();
  p.a_row_stride = kShape.terms;
  p.rows = kShape.rows;
  p.b = &w;
  p.c = y.data();
  p.c_row_stride = kStride;
  FirstCache first;
  cache = &first;
  matmul(p, device);
  cache = nullptr;
  EXPECT_EQ(y[(kShape.rows - 1) * kStride + kShape.columns - 1], kShape.terms);
  EXPECT_LT(first.bytes_per_cycle(), 48.0);
}

// Queries at the end of some keys, over one group of heads or more.
class Attention {
 public:
  Attention(const KvLayout& layout, int64_t heads, int64_t keys, int64_t rows)
      : layout_(layout), heads_(heads), keys_(keys), rows_(rows) {
    const int64_t kv_width = layout.kv_heads * layout.head_dim;
    const int64_t pages = (keys + kPagePositions - 1) / kPagePositions;
    memory_ = Buffer<std::byte>(static_cast<size_t>(pages * layout.page_bytes()));
    std::fill_n(memory_.data(), memory_.size(), std::byte{0xff});  // NaN
    for (int64_t p = 0; p < pages; ++p) {
      pages_.push_back(memory_.data() + p * layout.page_bytes());
    }
    const std::vector<float> kv = random_floats(static_cast<size_t>(keys * kv_width * 2), 2);
    for (int64_t r = 0; r < keys; ++r) {
      const float* row = kv.data() + r * kv_width * 2;
      store_kv(layout, row, row + kv_width, r, pages_[static_cast<size_t>(r / kPagePositions)]);
    }
  }

  std::vector<float> run(Device& device) const {
    const int64_t width = heads_ * layout_.head_dim;
    const std::vector<float> q = random_floats(static_cast<size_t>(rows_ * width), 1);
    std::vector<float> out(q.size());
    const std::array<CachedQueries, 1> queries = {{{0, rows_, keys_ - rows_, pages_.data()}}};
    cached_attention({layout_, q.data(), width, heads_, 0.2f, queries, out.data()}, device);
    return out;
  }

 private:
  KvLayout layout_;
  int64_t heads_, keys_, rows_;
  Buffer<std::byte> memory_;
  std::vector<std::byte*> pages_;
};

// Grouped heads, so that rows fill more than one tile of five; a head that ends within a step, keys
// that end within a block, and rows that see none of a step.
TEST_F(TileInstructions, AttentionIsTheEmulations) {
  const TrappedTiles trapped;
  for (const int64_t keys : {37, 150, 600}) {
    const Attention attention({2, 40, KvType::kBf16}, 6, keys, 37);
    EXPECT_TRUE(same_bits(attention.run(*instructions_), attention.run(*emulated_))) << keys;
  }
}

// A prompt's products load a tile each. Beyond that, outputs and scores come and go once in 128
// keys (0.38 a product), not in 32 (1.13).
TEST_F(TileInstructions, AttentionTouchesOutputsOnceInManyKeys) {
  if (native_isas().back() == Isa::kAmx) GTEST_SKIP() << "nothing traps, so nothing is counted";
  const TrappedTiles trapped;
  const Attention attention({1, 128, KvType::kBf16}, 1, 256, 32);
  Device device(1, instruction_kernels_);
  FirstCache first;
  cache = &first;
  attention.run(device);
  cache = nullptr;
  EXPECT_LE(first.transfers_per_product(), 1.375);
}

// One element, step by step in plain arithmetic: what kernel_table.h says of the numbers.
TEST_F(TileInstructions, AStepAddsItsEvenTermsThenItsOddOnes) {
  constexpr Shape kShape = {1, 96, 1};
  const std::vector<float> x = random_floats(96, 3), w = random_floats(96, 4);
  const PackedMatrix matrix = packed(kShape, w, Quant::kNone);
  const auto rounded = [](float v) { return round_to_bf16(v); };
  float expected = 1;
  for (size_t step = 0; step < 96; step += 32) {
    float sums[2] = {};
    for (size_t i = 0; i < 32; ++i) {
      sums[i % 2] = std::fma(rounded(x[step + i]), rounded(w[step + i]), sums[i % 2]);
    }
    expected += sums[0] + sums[1];
  }
  EXPECT_EQ(product_of(kShape, x, false, matrix, *emulated_)[0], expected);
}

// A denormal operand, and a product that is one; with and without one in C.
TEST_F(TileInstructions, DenormalsAreZero) {
  const TrappedTiles trapped;
  constexpr Shape kShape = {1, 2, 1};
  const std::vector<float> w = {1e38f, 0x1p-40f};
  for (const std::vector<float>& x : {std::vector<float>{1e-40f, 0}, {0, 0x1p-100f}}) {
    const PackedMatrix matrix = packed(kShape, w, Quant::kNone);
    for (const auto& device : {instructions_.get(), emulated_.get()}) {
      for (float before : {0.0f, 0x1p-130f}) {
        EXPECT_EQ(product_of(kShape, x, false, matrix, *device, before)[0], 0.0f) << x[0];
      }
    }
  }
}

}  // namespace
}  // namespace looplm
#endif
