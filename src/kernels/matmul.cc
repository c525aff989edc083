#include <algorithm>
#include <array>

#include "base/check.h"
#include "kernels/kernels.h"

namespace looplm {
namespace {

using cpu::kChunk;
using cpu::KernelTable;
using cpu::kPanel;
using cpu::kRowStride;
using cpu::PrepareRowsArgs;
using cpu::TileArgs;

// Rows of a block of A: its chunk (rows x 272 floats) and a task's chunk of B fill most of a
// second-level cache of 1 MiB. The more rows, the fewer times B is read from memory.
constexpr int64_t kBlockRows = 264;
// Panels per task: enough that preparing the block of A is a small part of the work.
constexpr int64_t kMostTaskPanels = 16;
constexpr int64_t kLeastTaskPanels = 4;

int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

// The kernels that fit B's type and A's layout.
struct Kernels {
  void (*prepare)(const PrepareRowsArgs&);
  void (*tile)(const TileArgs&);
  bool interleaved;
  int64_t tile_rows;
};

Kernels choose_kernels(const MatmulParams& p, const KernelTable& k) {
  const bool bf16 = p.b->dtype() == DType::kBf16;
  const bool interleaved = p.a_term_stride != 1 && p.a_row_stride == 1;
  Kernels chosen{nullptr, nullptr, interleaved, k.tile_rows};
  if (interleaved) {
    chosen.prepare = bf16 ? k.prepare_interleaved_bf16 : k.prepare_interleaved_f32;
    chosen.tile = bf16 ? k.tile_bf16_interleaved : k.tile_f32_interleaved;
  } else {
    chosen.prepare = bf16 ? k.prepare_rows_bf16 : k.prepare_rows_f32;
    chosen.tile = bf16 ? k.tile_bf16 : k.tile_f32;
  }
  return chosen;
}

// One product, cut into chunks of terms and tiles of rows.
class Product {
 public:
  Product(const MatmulParams& p, const KernelTable& table)
      : p_(p), kernels_(choose_kernels(p, table)), chunks_((p.b->terms() + kChunk - 1) / kChunk) {}

  int64_t chunks() const { return chunks_; }
  int64_t tile_rows() const { return kernels_.tile_rows; }

  // Room for `rows` prepared rows of one chunk; a whole number of tiles.
  int64_t prepared_floats(int64_t rows) const {
    return round_up(rows, kernels_.tile_rows) * kRowStride;
  }

  void prepare(int64_t first_row, int64_t rows, int64_t chunk, float* out) const {
    PrepareRowsArgs args;
    args.row_stride = p_.a_row_stride;
    args.term_stride = p_.a_term_stride;
    args.terms = std::min(kChunk, p_.b->terms() - chunk * kChunk);
    for (int64_t m = 0; m < rows; m += kernels_.tile_rows) {
      args.source = p_.a + (first_row + m) * p_.a_row_stride + chunk * kChunk * p_.a_term_stride;
      args.rows = std::min(kernels_.tile_rows, rows - m);
      args.out = out + m * kRowStride;
      kernels_.prepare(args);
    }
  }

  // C[first_row .., panels [first_panel, first_panel + panels)) over one chunk.
  // Being the `call`th of `calls` over the same panels and chunk, it fetches its share of the
  // panels' next chunk; `calls` 0: fetches nothing.
  void run(const float* prepared, int64_t first_row, int64_t rows, int64_t first_panel,
           int64_t panels, int64_t chunk, int64_t call = 0, int64_t calls = 0) const {
    const PackedMatrix& b = *p_.b;
    TileArgs t;
    t.terms = std::min(kChunk, b.terms() - chunk * kChunk);
    if (b.dtype() == DType::kBf16) t.terms = round_up(t.terms, 2);
    t.b = b.panel(first_panel) +
          chunk * kChunk * kPanel * static_cast<int64_t>(dtype_size(b.dtype()));
    t.b_panel_bytes = b.panel_bytes();
    t.columns = std::min(panels * kPanel, b.columns() - first_panel * kPanel);
    t.c_row_stride = p_.c_row_stride;
    t.accumulate = p_.accumulate || chunk > 0;
    if (calls > 0 && chunk + 1 < chunks_) {
      const int64_t line_bytes = kPanel * static_cast<int64_t>(dtype_size(b.dtype()));  // one term
      const int64_t chunk_bytes = kChunk * line_bytes;
      const int64_t next_bytes = std::min(kChunk, b.terms() - (chunk + 1) * kChunk) * line_bytes;
      const int64_t share = round_up((next_bytes + calls - 1) / calls, 64);
      t.ahead = chunk_bytes + call * share;
      t.ahead_bytes = std::clamp<int64_t>(next_bytes - call * share, 0, share);
    }
    for (int64_t m = 0; m < rows; m += kernels_.tile_rows) {
      t.rows = std::min(kernels_.tile_rows, rows - m);
      t.a = prepared + m * kRowStride;
      t.a_term_stride = t.rows;
      t.c = p_.c + (first_row + m) * p_.c_row_stride + first_panel * kPanel;
      kernels_.tile(t);
    }
  }

 private:
  const MatmulParams& p_;
  Kernels kernels_;
  int64_t chunks_;
};

// Few rows: the matrix B is what takes time, so it is cut into groups of panels and swept once; the
// rows are prepared beforehand.
void matmul_few_rows(const MatmulParams& p, const Product& product, Device& device) {
  const int64_t chunk_floats = product.prepared_floats(p.rows);
  float* prepared = device.shared_scratch(static_cast<size_t>(product.chunks() * chunk_floats));
  for (int64_t chunk = 0; chunk < product.chunks(); ++chunk) {
    product.prepare(0, p.rows, chunk, prepared + chunk * chunk_floats);
  }
  const int64_t panels = p.b->panels();
  // Several tiles of rows read a panel's chunk one after the other: it should stay in the first
  // cache.
  const int64_t most = p.rows > product.tile_rows() ? 1 : 4;
  const int64_t group = std::clamp<int64_t>(panels / (4 * device.pool().size()), 1, most);
  device.for_pieces(panels, group, [&](int64_t begin, int64_t end, int) {
    for (int64_t chunk = 0; chunk < product.chunks(); ++chunk) {
      product.run(prepared + chunk * chunk_floats, 0, p.rows, begin, end - begin, chunk);
    }
  });
}

// Many rows: blocks of rows by groups of panels; each task prepares its own block of A, chunk by
// chunk.
void matmul_many_rows(const MatmulParams& p, const Product& product, Device& device) {
  const int64_t row_blocks = (p.rows + kBlockRows - 1) / kBlockRows;
  const int64_t block_rows = round_up((p.rows + row_blocks - 1) / row_blocks, product.tile_rows());
  const int64_t panels = p.b->panels();
  int64_t task_panels = kMostTaskPanels;
  while (task_panels > kLeastTaskPanels &&
         row_blocks * ((panels + task_panels - 1) / task_panels) < 4 * device.pool().size()) {
    task_panels /= 2;
  }
  const int64_t column_tasks = (panels + task_panels - 1) / task_panels;
  device.pool().parallel_for(row_blocks * column_tasks, [&](int64_t task, int thread) {
    const int64_t first_row = task / column_tasks * block_rows;
    const int64_t rows = std::min(block_rows, p.rows - first_row);
    const int64_t first_panel = task % column_tasks * task_panels;
    const int64_t last_panel = std::min(panels, first_panel + task_panels);
    if (rows <= 0) return;
    float* prepared =
        device.thread_scratch(thread, static_cast<size_t>(product.prepared_floats(block_rows)));
    for (int64_t chunk = 0; chunk < product.chunks(); ++chunk) {
      product.prepare(first_row, rows, chunk, prepared);
      const int64_t tiles = (rows + product.tile_rows() - 1) / product.tile_rows();
      for (int64_t i = 0; i < tiles; ++i) {
        const int64_t m = i * product.tile_rows();
        product.run(prepared + m * kRowStride, first_row + m,
                    std::min(product.tile_rows(), rows - m), first_panel, last_panel - first_panel,
                    chunk, i, tiles);
      }
    }
  });
}

}  // namespace

void matmul(const MatmulParams& params, Device& device) {
  LOOPLM_CHECK(params.b != nullptr && !params.b->empty());
  LOOPLM_CHECK(params.a_term_stride == 1 || params.a_row_stride == 1, "strides {} and {}",
               params.a_row_stride, params.a_term_stride);
  if (params.rows <= 0) return;
  if (params.b->quant() != Quant::kNone) return matmul_quantized(params, device);
  const Product product(params, device.kernels());
  if (params.rows <= 4 * product.tile_rows()) {
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
