#include "kernels/amx_matmul.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/amx_args.h"

namespace looplm {
namespace {

using cpu::kAmxQuantRows;
using cpu::kAmxRowBytes;
using cpu::kAmxRows;
using cpu::kAmxTerms;
using cpu::kAmxTileBytes;
using cpu::kPanel;

// Two blocks of 16 rows share a panel's tiles.
constexpr int64_t kFewAmxRows = 2 * kAmxRows;
// Rows that are laid out at a time: 11 MB for 5632 terms.
constexpr int64_t kLaidOutRows = 1024;
constexpr int64_t kPrepareSteps = 8;
// Many rows: so much of A stays in the second-level cache (2 MiB) while a task's panels pass over
// it.
constexpr int64_t kPartBytes = int64_t{1} << 20;
constexpr int64_t kPartSteps = 16;  // a part is a multiple
constexpr int64_t kMostAmxTaskPanels = 16;
constexpr int64_t kStepBytes = kAmxTerms * kPanel * 2;  // of a panel
// Many rows of small integers: so much of B, beside 128 rows of A (704 KiB for 5632 terms).
constexpr int64_t kTurnBytes = int64_t{768} << 10;
// So much of B takes 16 rows at least 1,000 cycles, and a call's configuration of tiles some 200.
constexpr int64_t kLeastBytes = int64_t{64} << 10;

int64_t pieces(int64_t count, int64_t piece) { return (count + piece - 1) / piece; }

// Rows of A in tiles; how much room they take.
cpu::AmxRows layout(int64_t rows, int64_t steps, const void* tiles) {
  cpu::AmxRows a;
  a.tiles = tiles;
  a.rows = rows;
  a.row_bytes = rows == 1 ? 0 : kAmxRowBytes;
  a.step_bytes = rows == 1 ? kAmxRowBytes : kAmxTileBytes;
  a.block_bytes = steps * a.step_bytes;
  return a;
}
int64_t layout_bytes(const cpu::AmxRows& a) { return pieces(a.rows, kAmxRows) * a.block_bytes; }

cpu::AmxRows part_of(const cpu::AmxRows& a, int64_t first_row, int64_t rows, int64_t first_step) {
  cpu::AmxRows part = a;
  part.tiles = static_cast<const char*>(a.tiles) + first_row / kAmxRows * a.block_bytes +
               first_step * a.step_bytes;
  part.rows = rows;
  return part;
}

// Stretches of panels that a thread takes: long, since what it fetches ahead is for itself, and
// since each call configures the tiles anew.
int64_t stretch_of(int64_t rows, const PackedMatrix& b, Device& device) {
  if (device.pool().size() == 1) return b.panels();
  const int64_t least = pieces(kLeastBytes, pieces(rows, kAmxRows) * b.panel_bytes());
  return std::max(b.panels() / (4 * device.pool().size()), least);
}

// Rows [first_row, first_row + rows) of A, in tiles.
cpu::AmxRows lay_out(const MatmulParams& p, int64_t first_row, int64_t rows, int64_t steps,
                     Device& device) {
  cpu::AmxRows a = layout(rows, steps, nullptr);
  auto* tiles = reinterpret_cast<char*>(
      device.shared_scratch(static_cast<size_t>(layout_bytes(a)) / sizeof(float)));
  a.tiles = tiles;
  const int64_t chunks = pieces(steps, kPrepareSteps);
  const auto prepare = [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t block = i / chunks, step = i % chunks * kPrepareSteps;
      cpu::AmxPrepareArgs args;
      args.row_stride = p.a_row_stride;
      args.term_stride = p.a_term_stride;
      const int64_t at =
          (first_row + block * kAmxRows) * p.a_row_stride + step * kAmxTerms * p.a_term_stride;
      if (p.a_rounded != nullptr) {
        args.rounded = &p.a_rounded[at].bits;
      } else {
        args.source = p.a + at;
      }
      args.rows = std::min(kAmxRows, rows - block * kAmxRows);
      args.terms = std::min(kPrepareSteps * kAmxTerms, p.b->terms() - step * kAmxTerms);
      args.out = tiles + block * a.block_bytes + step * a.step_bytes;
      args.step_bytes = a.step_bytes;
      device.kernels().amx_prepare(args);
    }
  };
  const int64_t parts = pieces(rows, kAmxRows) * chunks;
  if (rows <= 2) {
    prepare(0, parts, 0);
  } else {
    device.for_pieces(parts, 1, prepare);
  }
  return a;
}

// The product of rows [first_row, first_row + a.rows), laid out as `a`.
class LaidOutProduct {
 public:
  LaidOutProduct(const MatmulParams& p, const cpu::AmxRows& a, int64_t first_row, int64_t steps)
      : p_(p), a_(a), first_row_(first_row), steps_(steps) {}

  void run(Device& device) const {
    if (a_.rows <= kFewAmxRows) {
      sweep_panels(device);
    } else {
      run_blocks(device);
    }
  }

 private:
  // Without sums.
  cpu::AmxArgs args_of(int64_t first_row, int64_t rows, int64_t first_panel, int64_t end_panel,
                       int64_t first_step, int64_t steps) const {
    const PackedMatrix& b = *p_.b;
    cpu::AmxArgs args;
    args.a = part_of(a_, first_row, rows, first_step);
    args.steps = steps;
    args.b = reinterpret_cast<const char*>(b.panel(first_panel)) + first_step * kStepBytes;
    args.b_panel_bytes = b.panel_bytes();
    args.columns = std::min(end_panel * kPanel, b.columns()) - first_panel * kPanel;
    return args;
  }
  cpu::AmxSums sums_of(int64_t first_row, int64_t first_panel) const {
    return {.at = p_.c + (first_row_ + first_row) * p_.c_row_stride + first_panel * kPanel,
            .row_stride = p_.c_row_stride};
  }

  // Few rows: B is what takes time, and is swept once.
  void sweep_panels(Device& device) const {
    const int64_t stretch = stretch_of(a_.rows, *p_.b, device);
    device.for_pieces(p_.b->panels(), stretch, [&](int64_t begin, int64_t end, int) {
      cpu::AmxArgs args = args_of(0, a_.rows, begin, end, 0, steps_);
      args.c = sums_of(0, begin);
      if (p_.accumulate) args.before = args.c;
      args.fetches = true;
      device.kernels().amx_bf16(args);
    });
  }

  void run_blocks(Device& device) const {
    const int64_t blocks = pieces(a_.rows, cpu::kAmxMostRows);
    const int64_t block_rows = pieces(pieces(a_.rows, blocks), kFewAmxRows) * kFewAmxRows;
    const int64_t panels = p_.b->panels();
    int64_t task_panels = kMostAmxTaskPanels;
    while (device.pool().size() > 1 && task_panels > 1 &&
           blocks * pieces(panels, task_panels) < int64_t{4} * device.pool().size()) {
      task_panels /= 2;
    }
    // As many for each thread.
    const int64_t threads = device.pool().size();
    task_panels = pieces(panels, pieces(pieces(panels, task_panels), threads) * threads);
    const int64_t column_tasks = pieces(panels, task_panels);
    device.for_pieces(blocks * column_tasks, 1, [&](int64_t task, int64_t, int thread) {
      const int64_t first_row = task / column_tasks * block_rows;
      const int64_t rows = std::min(block_rows, a_.rows - first_row);
      const int64_t panel = task % column_tasks * task_panels;
      if (rows > 0)
        run_block(first_row, rows, panel, std::min(panels, panel + task_panels), device, thread);
    });
  }

  // Long rows in parts. Sums of the task lie apart until the last part adds its own.
  void run_block(int64_t first_row, int64_t rows, int64_t panel, int64_t end_panel, Device& device,
                 int thread) const {
    const int64_t blocks = pieces(rows, kAmxRows);
    const int64_t most = kPartBytes / (blocks * kAmxTileBytes);
    const int64_t part = pieces(pieces(steps_, pieces(steps_, most)), kPartSteps) * kPartSteps;
    cpu::AmxSums between = {
        .row_stride = kPanel, .panel_stride = blocks * kAmxRows * kPanel, .roomy = true};
    if (steps_ > part) {
      between.at = device.thread_scratch(
          thread, static_cast<size_t>((end_panel - panel) * between.panel_stride));
    }
    const cpu::AmxSums c = sums_of(first_row, panel);
    for (int64_t step = 0; step < steps_; step += part) {
      const int64_t steps = std::min(part, steps_ - step), next = step + steps;
      cpu::AmxArgs args = args_of(first_row, rows, panel, end_panel, step, steps);
      if (step > 0) {
        args.before = between;
      } else if (p_.accumulate) {
        args.before = c;
      }
      args.c = next < steps_ ? between : c;
      args.fetches = true;
      if (next < steps_) args.fetch_last = args.b + steps * kStepBytes;
      device.kernels().amx_bf16(args);
    }
  }

  const MatmulParams& p_;
  cpu::AmxRows a_;
  int64_t first_row_;
  int64_t steps_;
};

// A's rows in small integers as tiles, with what goes with each group of each row.
struct QuantizedRows {
  cpu::AmxRows levels;
  const float* scales = nullptr;   // (blocks, groups, 16)
  const float* offsets = nullptr;  // (blocks, groups, 16): AmxQuantArgs::a_offsets
};

QuantizedRows quantize_rows(const MatmulParams& p, Device& device) {
  const int64_t groups = quant_groups(p.b->terms());
  const int64_t blocks = pieces(p.rows, kAmxRows);
  QuantizedRows rows;
  rows.levels = layout(p.rows, groups, nullptr);
  const int64_t tile_bytes = layout_bytes(rows.levels);
  const int64_t per_group = blocks * groups * kAmxRows;
  float* scratch = device.shared_scratch(static_cast<size_t>(tile_bytes / 4 + 2 * per_group));
  auto* tiles = reinterpret_cast<char*>(scratch);
  float* scales = scratch + tile_bytes / 4;
  float* offsets = scales + per_group;
  const auto prepare = [&](int64_t begin, int64_t end, int thread) {
    // One row as quantize_groups gives it.
    float* row = device.thread_scratch(thread, static_cast<size_t>(groups * (kQuantGroup / 4 + 2)));
    auto* levels = reinterpret_cast<int8_t*>(row);
    float* row_scales = row + groups * kQuantGroup / 4;
    auto* sums = reinterpret_cast<int32_t*>(row_scales + groups);
    for (int64_t m = begin; m < end; ++m) {
      const int64_t block = m / kAmxRows, slot = m % kAmxRows;
      char* to = tiles + block * rows.levels.block_bytes + slot * rows.levels.row_bytes;
      if (m >= p.rows) {  // missing from the last block
        for (int64_t g = 0; g < groups; ++g) {
          const int64_t at = (block * groups + g) * kAmxRows + slot;
          scales[at] = 0;
          offsets[at] = 0;
          std::memset(to + g * rows.levels.step_bytes, 0, kAmxRowBytes);
        }
        continue;
      }
      device.kernels().quantize_groups(p.a + m * p.a_row_stride, p.b->terms(), levels, row_scales,
                                       sums);
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t at = (block * groups + g) * kAmxRows + slot;
        std::memcpy(to + g * rows.levels.step_bytes, levels + g * kQuantGroup, kAmxRowBytes);
        scales[at] = row_scales[g];
        offsets[at] = row_scales[g] * static_cast<float>(sums[g]);
      }
    }
  };
  device.for_pieces(blocks * kAmxRows, 4, prepare);
  rows.levels.tiles = tiles;
  rows.scales = scales;
  rows.offsets = offsets;
  return rows;
}

}  // namespace

void matmul_amx_bf16(const MatmulParams& p, Device& device) {
  const int64_t steps = pieces(p.b->terms(), kAmxTerms);
  for (int64_t row = 0; row < p.rows; row += kLaidOutRows) {
    const int64_t rows = std::min(kLaidOutRows, p.rows - row);
    LaidOutProduct(p, lay_out(p, row, rows, steps, device), row, steps).run(device);
  }
}

void matmul_amx_quantized(const MatmulParams& p, Device& device) {
  const QuantizedRows a = quantize_rows(p, device);
  const PackedMatrix& b = *p.b;
  const auto product =
      b.quant() == Quant::kInt8 ? device.kernels().amx_int8 : device.kernels().amx_int4;
  const int64_t groups = quant_groups(b.terms());
  // Many rows take turns with some panels, which stay in the second-level cache beside the rows of
  // a call: each row is read from farther away once for all of them.
  const int64_t turn =
      p.rows <= kAmxQuantRows ? b.panels() : std::max<int64_t>(1, kTurnBytes / b.panel_bytes());
  const int64_t stretch = stretch_of(p.rows, b, device);
  device.for_pieces(b.panels(), stretch, [&](int64_t begin, int64_t end, int) {
    for (int64_t panel = begin; panel < end; panel += turn) {
      const int64_t end_panel = std::min(end, panel + turn);
      for (int64_t row = 0; row < p.rows; row += kAmxQuantRows) {
        cpu::AmxQuantArgs args;
        args.a = part_of(a.levels, row, std::min(kAmxQuantRows, p.rows - row), 0);
        args.a_scales = a.scales + row * groups;
        args.a_offsets = a.offsets + row * groups;
        args.b = reinterpret_cast<const char*>(b.panel(panel));
        args.b_panel_bytes = b.panel_bytes();
        args.groups = groups;
        args.columns = std::min(end_panel * kPanel, b.columns()) - panel * kPanel;
        args.c = p.c + row * p.c_row_stride + panel * kPanel;
        args.c_row_stride = p.c_row_stride;
        args.accumulate = p.accumulate;
        product(args);
      }
    }
  });
}

}  // namespace looplm
