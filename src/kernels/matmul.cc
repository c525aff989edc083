#include <algorithm>
#include <array>

#include "base/check.h"
#include "kernels/amx_matmul.h"
#include "kernels/kernels.h"

namespace looplm {
namespace {

using cpu::kChunk;
using cpu::KernelTable;
using cpu::kPanel;
using cpu::kRowStride;
using cpu::PrepareRowsArgs;
using cpu::TileArgs;

// Rows of a block of A. Its chunk (as bf16 264 x 512 bytes), a task's chunk of B and of the next B
// (16 KiB a panel each), and most of the task's part of C (33 KiB a panel) should stay in a
// second-level cache of 1 MiB. The more rows, the fewer times B is read from memory.
constexpr int64_t kBlockRows = 264;
constexpr int64_t kMostTaskPanels = 16;
constexpr int64_t kLeastTaskPanels = 4;
// Blocks whose rows are prepared at a time: scratch of 23 MB for 5632 terms.
constexpr int64_t kPreparedBlocks = 4;
// How far ahead panels are fetched into the first cache. Few rows take them from memory: what is in
// flight must cover its latency, and the chunk in use (16 KiB) and what is fetched must fit. Many
// rows take them from the second-level cache.
constexpr int64_t kFewFetch = 8192;
constexpr int64_t kTallFetch = 16384;  // where arithmetic takes half of the time and more
constexpr int64_t kTallRows = 9;
constexpr int64_t kManyFetch = 512;
constexpr int64_t kFewPanels = 4;
// One or two rows do too little with a panel to hide the latency of their sums; they take several.
constexpr int64_t kTogether = 4;

int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

// The kernels that fit B's type and A's layout.
struct Kernels {
  void (*prepare)(const PrepareRowsArgs&);
  void (*tile)(const TileArgs&);
  bool interleaved;
  bool halved;  // two terms of a prepared row in a slot
  int64_t tile_rows;
  void (*tile_in_place)(const TileArgs&);  // on A as the caller has it; null: it is prepared
};

// Whether fp32 tiles of many rows read A where it is. Rows side by side lie far apart from term to
// term, so that copying pays as soon as several panels read the copy. Rows, or terms, whose
// distance is a multiple of 4 KiB share the same few places of the first cache.
bool reads_in_place(const MatmulParams& p, bool interleaved) {
  if (p.b->dtype() != DType::kF32) return false;
  if (interleaved && p.b->panels() > kFewPanels) return false;
  return (interleaved ? p.a_term_stride : p.a_row_stride) % 1024 != 0;
}

Kernels choose_kernels(const MatmulParams& p, const KernelTable& k) {
  const bool bf16 = p.b->dtype() == DType::kBf16;
  const bool interleaved = p.a_term_stride != 1 && p.a_row_stride == 1;
  Kernels chosen{nullptr, nullptr, interleaved, bf16 && k.bf16_dot, k.tile_rows, nullptr};
  if (interleaved) {
    chosen.prepare = bf16 ? k.prepare_interleaved_bf16 : k.prepare_interleaved_f32;
    chosen.tile = bf16 ? k.tile_bf16_interleaved : k.tile_f32_interleaved;
  } else {
    chosen.prepare = bf16 ? k.prepare_rows_bf16 : k.prepare_rows_f32;
    chosen.tile = bf16 ? k.tile_bf16 : k.tile_f32;
  }
  if (reads_in_place(p, interleaved)) {
    chosen.tile_in_place = interleaved ? k.tile_f32_interleaved : k.tile_f32_in_place;
  }
  return chosen;
}

// One product, cut into chunks of terms and tiles of rows.
class Product {
 public:
  Product(const MatmulParams& p, const KernelTable& table, bool two_panels)
      : p_(p), kernels_(choose_kernels(p, table)), chunks_((p.b->terms() + kChunk - 1) / kChunk) {
    few_rows_ = p.rows <= 4 * kernels_.tile_rows;
    pairs_ = two_panels && table.pair_rows > 0 && p.b->dtype() == DType::kF32 && !few_rows_;
    // Rows side by side are laid out by full tiles, which makes fewer copies.
    if (pairs_ && !kernels_.interleaved) kernels_.tile_rows = table.pair_rows;
    fetches_ = few_rows_ || !two_panels;
    call_rows_ = pairs_ ? table.pair_rows : kernels_.tile_rows;
    if (few_rows_) {  // tiles of one height, so that none is too low to be fast
      const int64_t tiles = (p.rows + kernels_.tile_rows - 1) / kernels_.tile_rows;
      kernels_.tile_rows = (p.rows + tiles - 1) / tiles;
    }
  }

  bool few_rows() const { return few_rows_; }

  int64_t chunks() const { return chunks_; }
  int64_t tile_rows() const { return kernels_.tile_rows; }

  // Room for `rows` prepared rows of one chunk; a whole number of tiles.
  int64_t prepared_floats(int64_t rows) const {
    return round_up(rows, kernels_.tile_rows) * kRowStride;
  }

  // Of a row's chunk that tiles read: all, or pairs of bf16 in the place of one.
  int64_t prepared_row_floats() const { return kernels_.halved ? kChunk / 2 : kChunk; }

  void prepare(int64_t first_row, int64_t rows, int64_t chunk, float* out) const {
    PrepareRowsArgs args;
    const int64_t at = first_row * p_.a_row_stride + chunk * kChunk * p_.a_term_stride;
    if (p_.a_rounded != nullptr) {
      args.rounded = &p_.a_rounded[at].bits;
    } else {
      args.source = p_.a + at;
    }
    args.row_stride = p_.a_row_stride;
    args.term_stride = p_.a_term_stride;
    args.rows = rows;
    args.tile_rows = kernels_.tile_rows;
    args.terms = std::min(kChunk, p_.b->terms() - chunk * kChunk);
    args.out = out;
    kernels_.prepare(args);
  }

  // What a call brings into the caches meanwhile; distances are from the chunk's start.
  struct Prefetch {
    int64_t fetch = 0;  // as in TileArgs; tiles of rows share the bytes
    int64_t fetch_bytes = 0;
    int64_t ahead = 0;
    int64_t ahead_bytes = 0;
  };

  // C[first_row .., panels [first_panel, first_panel + panels)) over one chunk.
  void run(const float* prepared, int64_t first_row, int64_t rows, int64_t first_panel,
           int64_t panels, int64_t chunk, const Prefetch& prefetch) const {
    TileArgs t = tile_args(first_panel, panels, chunk, prefetch);
    const int64_t tiles = (rows + kernels_.tile_rows - 1) / kernels_.tile_rows;
    t.fetch_bytes /= tiles;
    for (int64_t i = 0; i < tiles; ++i) {
      const int64_t m = i * kernels_.tile_rows;
      t.fetch = prefetch.fetch + i * t.fetch_bytes;
      t.a = prepared + m * kRowStride;
      t.c = p_.c + (first_row + m) * p_.c_row_stride + first_panel * kPanel;
      t.a_term_stride = std::min(kernels_.tile_rows, rows - m);
      run_calls(t, t.a_term_stride, kernels_.interleaved ? 1 : kRowStride, kernels_.tile);
    }
  }

  bool in_place() const { return kernels_.tile_in_place != nullptr; }
  // The same of one tile of rows of A, where they are.
  void run_in_place(int64_t first_row, int64_t rows, int64_t first_panel, int64_t panels,
                    int64_t chunk, const Prefetch& prefetch) const {
    TileArgs t = tile_args(first_panel, panels, chunk, prefetch);
    t.a = p_.a + first_row * p_.a_row_stride + chunk * kChunk * p_.a_term_stride;
    t.a_row_stride = p_.a_row_stride;
    t.a_term_stride = p_.a_term_stride;
    t.c = p_.c + first_row * p_.c_row_stride + first_panel * kPanel;
    run_calls(t, rows, p_.a_row_stride, kernels_.tile_in_place);
  }

  int64_t term_bytes() const {  // of a panel
    return kPanel * static_cast<int64_t>(dtype_size(p_.b->dtype()));
  }
  int64_t chunk_bytes(int64_t chunk) const {
    return std::clamp<int64_t>(p_.b->terms() - chunk * kChunk, 0, kChunk) * term_bytes();
  }

 private:
  // A tile of rows, `row_slots` apart, by as many calls as it takes.
  void run_calls(TileArgs t, int64_t rows, int64_t row_slots, void (*tile)(const TileArgs&)) const {
    const auto* a = static_cast<const float*>(t.a);
    for (int64_t m = 0; m < rows; m += call_rows_) {
      t.rows = std::min(call_rows_, rows - m);
      t.a = a + m * row_slots;
      tile(t);
      t.c += t.rows * t.c_row_stride;
      t.ahead_bytes = 0;  // called for once
    }
  }

  // Without A and C.
  TileArgs tile_args(int64_t first_panel, int64_t panels, int64_t chunk,
                     const Prefetch& prefetch) const {
    const PackedMatrix& b = *p_.b;
    TileArgs t;
    t.terms = std::min(kChunk, b.terms() - chunk * kChunk);
    if (b.dtype() == DType::kBf16) t.terms = round_up(t.terms, 2);
    t.b = b.panel(first_panel) + chunk * kChunk * term_bytes();
    t.b_panel_bytes = b.panel_bytes();
    t.columns = std::min(panels * kPanel, b.columns() - first_panel * kPanel);
    t.c_row_stride = p_.c_row_stride;
    t.accumulate = p_.accumulate || chunk > 0;
    t.pairs = pairs_;
    t.fetches = fetches_;
    t.fetch = prefetch.fetch;
    t.fetch_bytes = prefetch.fetch_bytes;
    t.ahead = prefetch.ahead;
    t.ahead_bytes = prefetch.ahead_bytes;
    return t;
  }

  const MatmulParams& p_;
  Kernels kernels_;
  int64_t chunks_;
  bool few_rows_;
  bool pairs_;
  bool fetches_;
  int64_t call_rows_;  // of a tile in one call
};

// Few rows: the matrix B is what takes time, so it is cut into groups of panels and swept once; the
// rows are prepared beforehand.
void matmul_few_rows(const MatmulParams& p, const Product& product, Device& device) {
  const int64_t chunk_floats = product.prepared_floats(p.rows);
  float* prepared = device.shared_scratch(static_cast<size_t>(product.chunks() * chunk_floats));
  const auto prepare = [&](int64_t begin, int64_t end, int) {
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      product.prepare(0, p.rows, chunk, prepared + chunk * chunk_floats);
    }
  };
  if (p.rows <= 2) {
    prepare(0, product.chunks(), 0);
  } else {
    device.for_pieces(product.chunks(), 2, prepare);
  }
  const int64_t panels = p.b->panels();
  // Long stretches: a thread's panels are fetched ahead, and another thread that took the next
  // panel would fetch it again. One or two rows read panels side by side.
  const int64_t stretch = std::max<int64_t>(1, panels / (4 * device.pool().size()));
  const int64_t together = p.rows <= 2 ? kTogether : 1;
  const int64_t fetch = p.rows < kTallRows ? kFewFetch : kTallFetch;
  device.for_pieces(panels, stretch, [&](int64_t begin, int64_t end, int) {
    for (int64_t panel = begin; panel < end; panel += together) {
      const int64_t count = std::min(together, end - panel);
      for (int64_t chunk = 0; chunk < product.chunks(); ++chunk) {
        product.run(prepared + chunk * chunk_floats, 0, p.rows, panel, count, chunk,
                    {.fetch = fetch, .fetch_bytes = product.chunk_bytes(chunk)});
      }
    }
  });
}

// Calls for the prepared rows of a tile's chunk, which the next calls read.
void prefetch_prepared(const float* prepared, int64_t rows, int64_t floats) {
  for (int64_t m = 0; m < rows; ++m) {
    for (int64_t i = 0; i < floats; i += 16)
      __builtin_prefetch(prepared + m * kRowStride + i, 0, 2);
  }
}

// A block of rows of A by a group of panels, one chunk of terms.
struct BlockOfProduct {
  int64_t first_row;
  int64_t rows;
  int64_t first_panel;
  int64_t panels;
  int64_t chunk;
  const float* prepared;  // null: rows are where they are
};

void run_block(const Product& product, const BlockOfProduct& b) {
  const int64_t tiles = (b.rows + product.tile_rows() - 1) / product.tile_rows();
  // Each tile row fetches its share of the panels' next chunk.
  const int64_t share = round_up((product.chunk_bytes(b.chunk + 1) + tiles - 1) / tiles, 64);
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t m = i * product.tile_rows();
    const int64_t rows = std::min(product.tile_rows(), b.rows - m);
    const Product::Prefetch prefetch = {.fetch = kManyFetch,
                                        .fetch_bytes = product.chunk_bytes(b.chunk),
                                        .ahead = product.chunk_bytes(b.chunk) + i * share,
                                        .ahead_bytes = share};
    if (b.prepared == nullptr) {
      product.run_in_place(b.first_row + m, rows, b.first_panel, b.panels, b.chunk, prefetch);
      continue;
    }
    if (i + 1 < tiles) {
      prefetch_prepared(b.prepared + (m + product.tile_rows()) * kRowStride, rows,
                        product.prepared_row_floats());
    }
    product.run(b.prepared + m * kRowStride, b.first_row + m, rows, b.first_panel, b.panels,
                b.chunk, prefetch);
  }
}

// Many rows: blocks of rows by groups of panels. Rows that are not left where they are are prepared
// by the task that takes them if it takes all panels, so that they stay in its caches; otherwise
// some blocks are prepared first.
void matmul_many_rows(const MatmulParams& p, const Product& product, Device& device) {
  const int64_t blocks = (p.rows + kBlockRows - 1) / kBlockRows;
  const int64_t block_rows = round_up((p.rows + blocks - 1) / blocks, product.tile_rows());
  const int64_t panels = p.b->panels(), threads = device.pool().size();
  int64_t task_panels = kMostTaskPanels;
  while (threads > 1 && task_panels > kLeastTaskPanels &&
         blocks * ((panels + task_panels - 1) / task_panels) < 4 * threads) {
    task_panels /= 2;
  }
  const int64_t column_tasks = (panels + task_panels - 1) / task_panels;
  const int64_t chunk_floats = product.prepared_floats(block_rows);
  const int64_t block_floats = chunk_floats * product.chunks();
  const bool in_place = product.in_place(), alone = !in_place && column_tasks == 1;
  const bool first = !in_place && !alone;
  const int64_t blocks_at_once = !first         ? blocks
                                 : threads == 1 ? 1
                                                : std::min(blocks, kPreparedBlocks);
  float* prepared = nullptr;
  if (!in_place) {
    const int64_t floats =
        alone ? std::min(threads, blocks) * chunk_floats : blocks_at_once * block_floats;
    prepared = device.shared_scratch(static_cast<size_t>(floats));
  }
  const auto rows_of = [&](int64_t block) {
    return std::clamp<int64_t>(p.rows - block * block_rows, 0, block_rows);
  };
  for (int64_t first_block = 0; first_block < blocks; first_block += blocks_at_once) {
    const int64_t some_blocks = std::min(blocks_at_once, blocks - first_block);
    const int64_t to_prepare = first ? some_blocks * product.chunks() : 0;
    device.for_pieces(to_prepare, 1, [&](int64_t index, int64_t, int) {
      const int64_t block = index / product.chunks(), chunk = index % product.chunks();
      product.prepare((first_block + block) * block_rows, rows_of(first_block + block), chunk,
                      prepared + block * block_floats + chunk * chunk_floats);
    });
    device.for_pieces(some_blocks * column_tasks, 1, [&](int64_t task, int64_t, int thread) {
      const int64_t block = task / column_tasks;
      BlockOfProduct part;
      part.first_row = (first_block + block) * block_rows;
      part.rows = rows_of(first_block + block);
      part.first_panel = task % column_tasks * task_panels;
      part.panels = std::min(panels - part.first_panel, task_panels);
      for (part.chunk = 0; part.chunk < product.chunks(); ++part.chunk) {
        float* rows = nullptr;
        if (alone) {
          rows = prepared + (blocks < threads ? block : thread) * chunk_floats;
          product.prepare(part.first_row, part.rows, part.chunk, rows);
        } else if (first) {
          rows = prepared + block * block_floats + part.chunk * chunk_floats;
        }
        part.prepared = rows;
        run_block(product, part);
      }
    });
  }
}

}  // namespace

size_t matmul_scratch_bytes(int64_t rows, int64_t terms, int threads) {
  const int64_t all = (rows + kBlockRows - 1) / kBlockRows;
  const auto rows_of = [rows](int64_t blocks) {
    return std::min(rows, blocks * kBlockRows) + blocks * cpu::kMaxTileRows;
  };
  const int64_t chunks = (terms + kChunk - 1) / kChunk;
  // Some blocks whole, or a chunk of one for each thread.
  const int64_t prepared = std::max(rows_of(std::min(kPreparedBlocks, all)) * chunks,
                                    rows_of(std::min<int64_t>(threads, all)));
  const auto bytes = static_cast<size_t>(prepared * kRowStride) * sizeof(float);
  return bytes + bytes / 4;  // a device takes a quarter more than it is asked for
}

void matmul(const MatmulParams& params, Device& device) {
  LOOPLM_CHECK(params.b != nullptr && !params.b->empty());
  LOOPLM_CHECK(params.a_term_stride == 1 || params.a_row_stride == 1, "strides {} and {}",
               params.a_row_stride, params.a_term_stride);
  LOOPLM_CHECK(params.a_rounded == nullptr ||
                   (params.b->dtype() == DType::kBf16 && params.b->quant() == Quant::kNone),
               "a rounded matrix times one that is not of bf16");
  if (params.rows <= 0) return;
  if (params.b->is_widened()) return matmul_widened(params, device);
  LOOPLM_CHECK(!params.transposed, "a product with the transpose of a matrix that is not widened");
  if (params.b->quant() != Quant::kNone) return matmul_quantized(params, device);
  if (params.b->dtype() == DType::kBf16 && device.kernels().amx_bf16 != nullptr) {
    return matmul_amx_bf16(params, device);
  }
  const Product product(params, device.kernels(), device.two_panels());
  if (product.few_rows()) {
    matmul_few_rows(params, product, device);
  } else {
    matmul_many_rows(params, product, device);
  }
}

void linear_weight_gradient(const LinearWeightGradientParams& p, Device& device) {
  if (p.rows <= 0) return;
  const size_t bytes = PackedMatrix::packed_bytes(p.rows, p.in, p.dtype);
  float* memory = device.outer_scratch(bytes / sizeof(float) + 1);
  PackedMatrix x(p.rows, p.in, p.dtype, reinterpret_cast<std::byte*>(memory));
  const std::array<MatrixSource, 1> source = {{{p.x, DType::kF32, p.rows, p.in, p.x_stride}}};
  pack_columns(source, x, device);
  MatmulParams product;
  product.a = p.dy;
  product.a_rounded = p.dy_rounded;
  product.a_row_stride = 1;
  product.a_term_stride = p.dy_stride;
  product.rows = p.out;
  product.b = &x;
  product.c = p.weight_gradient;
  product.c_row_stride = p.in;
  product.accumulate = true;
  matmul(product, device);
}

}  // namespace looplm
