// Loops are run one after the other over all positions of a group of texts, not position by
// position: the tokens are known, so that no loop waits for another position's last. Keys and
// values are then needed for one loop at a time, and between loops a position keeps its state.
#include <algorithm>
#include <array>
#include <memory>

#include <fmt/format.h>

#include "eval/depth_scores.h"
#include "eval/prefix_tree.h"
#include "infer/parts.h"

namespace looplm {
namespace {

// The head is the largest matrix: enough rows per read of it, few enough that the logits of a large
// vocabulary stay small.
constexpr int64_t kReadOutRows = 64;

// The tokens that are read: all before the last scored one.
std::span<const int32_t> read_of(const EvalExample& example) {
  size_t last = example.scored.size();
  while (last > 1 && !example.scored[last - 1]) --last;
  return {example.ids.data(), last - 1};
}

Status check(const EvalExample& example, size_t number, const ModelConfig& config) {
  const auto size = static_cast<int64_t>(read_of(example).size());
  if (example.ids.size() != example.scored.size() || size == 0 || example.scored[0]) {
    return invalid_argument(
        fmt::format("example {}: expected a scored token after the first", number));
  }
  if (size > config.max_positions) {
    return invalid_argument(fmt::format("example {}: {} tokens exceed the model's {} positions",
                                        number, size, config.max_positions));
  }
  for (int32_t id : example.ids) {
    if (id < 0 || id >= config.vocab_size) {
      return invalid_argument(
          fmt::format("example {}: token id {} is out of range; expected 0 to "
                      "{}",
                      number, id, config.vocab_size - 1));
    }
  }
  return {};
}

// A scored token, and the read-out that predicts it.
struct Target {
  size_t example = 0;
  int64_t column = 0;  // of the example's scores
  int32_t id = 0;
};

// A branch of the tree on its way through one loop.
struct OpenBranch {
  int32_t branch = 0;
  int64_t done = 0;  // nodes
  std::shared_ptr<SequenceCache> parent;
  std::shared_ptr<SequenceCache> cache{};
};

// Scores the texts of one group.
class GroupScorer {
 public:
  GroupScorer(Model& model, std::span<const EvalExample> examples, std::span<DepthScores> scores,
              int64_t loops, const ScoreOptions& options)
      : runner_(*model.parts().runner),
        pages_(model.parts().pages),
        layers_(model.config().layers),
        width_(model.config().hidden_size),
        vocabulary_(model.config().vocab_size),
        examples_(examples),
        scores_(scores),
        loops_(loops),
        pass_lanes_(options.pass_lanes),
        tree_(tree_of(examples)),
        arena_(model.config()) {
    find_targets();
    states_.resize(static_cast<size_t>(tree_.nodes() * width_));
    previous_.resize(row_targets_.size() * static_cast<size_t>(width_));
    wanted_.resize(static_cast<size_t>(std::min(pass_lanes_, tree_.nodes()) * width_));
    logits_.resize(static_cast<size_t>(kReadOutRows * vocabulary_));
  }

  // `after_pass` is called with the lanes of each pass.
  void run(const std::function<void(int64_t)>& after_pass) {
    runner_.embed(tree_.ids(), states_.data());
    for (int64_t loop = 0; loop < loops_; ++loop) run_loop(loop, after_pass);
  }

 private:
  static PrefixTree tree_of(std::span<const EvalExample> examples) {
    std::vector<std::span<const int32_t>> texts;
    for (const EvalExample& example : examples) texts.push_back(read_of(example));
    return PrefixTree(texts);
  }

  void find_targets() {
    row_of_node_.assign(static_cast<size_t>(tree_.nodes()), -1);
    for (size_t e = 0; e < examples_.size(); ++e) {
      const EvalExample& example = examples_[e];
      DepthScores& s = scores_[e];
      s.loops = loops_;
      for (size_t i = 1; i < example.ids.size(); ++i) {
        if (!example.scored[i]) continue;
        int64_t& row =
            row_of_node_[static_cast<size_t>(tree_.node(e, static_cast<int64_t>(i) - 1))];
        if (row < 0) {
          row = static_cast<int64_t>(row_targets_.size());
          row_targets_.emplace_back();
        }
        row_targets_[static_cast<size_t>(row)].push_back({e, s.tokens++, example.ids[i]});
      }
      const auto cells = static_cast<size_t>(loops_ * s.tokens);
      s.nll.resize(cells);
      s.right.resize(cells);
      s.best.resize(cells);
      s.gate.resize(cells);
      for (std::vector<double>* figure : {&s.difference, &s.norm, &s.margin, &s.entropy}) {
        figure->resize(cells);
      }
    }
  }

  void run_loop(int64_t loop, const std::function<void(int64_t)>& after_pass) {
    // The last opened go on first, so that few caches live at once.
    std::vector<OpenBranch> open;
    for (size_t b = tree_.branches().size(); b-- > 0;) {
      if (tree_.branches()[b].parent < 0) open.push_back({static_cast<int32_t>(b), 0, nullptr});
    }
    while (!open.empty()) {
      gather_lanes(open);
      run_pass();
      read_out(loop);
      after_pass(static_cast<int64_t>(lanes_.size()));
      // Branches go on below one that has ended, in later passes.
      for (OpenBranch& ended : ended_) {
        const std::vector<int32_t>& children =
            tree_.branches()[static_cast<size_t>(ended.branch)].children;
        for (size_t i = children.size(); i-- > 0;) open.push_back({children[i], 0, ended.cache});
      }
      ended_.clear();
    }
  }

  void gather_lanes(std::vector<OpenBranch>& open) {
    lanes_.clear();
    nodes_.clear();
    while (!open.empty() && static_cast<int64_t>(lanes_.size()) < pass_lanes_) {
      OpenBranch& top = open.back();
      const PrefixTree::Branch& branch = tree_.branches()[static_cast<size_t>(top.branch)];
      if (!top.cache) {
        // One loop's keys and values, whichever loop it is.
        top.cache = std::make_shared<SequenceCache>(pages_, layers_, 1);
        if (top.parent) top.cache->fork(*top.parent, branch.position);
        top.parent = nullptr;  // the last child's pages have one owner then, and are not copied
      }
      const int64_t room = pass_lanes_ - static_cast<int64_t>(lanes_.size());
      const int64_t count = std::min(room, branch.nodes - top.done);
      for (int64_t i = top.done; i < top.done + count; ++i) {
        const int64_t node = branch.first_node + i;
        lanes_.push_back({top.cache.get(), branch.position + i, 0});
        nodes_.push_back(node);
      }
      top.done += count;
      if (top.done < branch.nodes) return;
      ended_.push_back(std::move(top));
      open.pop_back();
    }
  }

  // Positions are many times more than lanes: their states lie outside the arena between loops.
  void run_pass() {
    const auto lanes = static_cast<int64_t>(lanes_.size());
    arena_.resize(lanes);
    for (int64_t i = 0; i < lanes; ++i) {
      std::copy_n(state_of(i), width_, arena_.state(i));
    }
    runner_.run(arena_, lanes_);
    for (int64_t i = 0; i < lanes; ++i) std::copy_n(arena_.state(i), width_, state_of(i));
  }

  float* state_of(int64_t lane) {
    return states_.data() + nodes_[static_cast<size_t>(lane)] * width_;
  }

  // Everything that the scored tokens need of the pass.
  void read_out(int64_t loop) {
    rows_.clear();
    for (size_t i = 0; i < lanes_.size(); ++i) {
      if (row_of_node_[static_cast<size_t>(nodes_[i])] < 0) continue;
      std::copy_n(arena_.normed(static_cast<int64_t>(i)), width_,
                  wanted_.data() + static_cast<int64_t>(rows_.size()) * width_);
      rows_.push_back(i);
    }
    const auto rows = static_cast<int64_t>(rows_.size());
    for (int64_t first = 0; first < rows; first += kReadOutRows) {
      const int64_t count = std::min(kReadOutRows, rows - first);
      runner_.read_out(wanted_.data() + first * width_, count, logits_.data(), summaries_.data());
      runner_.device().pool().parallel_for(count, [&](int64_t i, int) {
        const size_t lane = rows_[static_cast<size_t>(first + i)];
        score_row(loop, row_of_node_[static_cast<size_t>(nodes_[lane])], lane,
                  logits_.data() + i * vocabulary_, summaries_[static_cast<size_t>(i)]);
      });
    }
  }

  void score_row(int64_t loop, int64_t row, size_t lane, const float* logits,
                 const LogitSummary& summary) {
    const float* normed = arena_.normed(static_cast<int64_t>(lane));
    float* previous = previous_.data() + row * width_;
    const auto size = static_cast<size_t>(width_);
    std::span<const float> before;
    if (loop > 0) before = {previous, size};
    const StateChange change = state_change({normed, size}, before);
    std::copy_n(normed, width_, previous);
    for (const Target& target : row_targets_[static_cast<size_t>(row)]) {
      DepthScores& s = scores_[target.example];
      const size_t cell = s.at(loop, target.column);
      s.nll[cell] = -summary.log_probability(logits[target.id]);
      s.best[cell] = summary.best;
      s.right[cell] = s.best[cell] == target.id;
      s.gate[cell] = lanes_[lane].gate_logit;
      s.difference[cell] = change.difference;
      s.norm[cell] = change.norm;
      s.margin[cell] = summary.margin();
      s.entropy[cell] = summary.entropy;
    }
  }

  PassRunner& runner_;
  PagePool& pages_;
  const int64_t layers_, width_, vocabulary_;
  std::span<const EvalExample> examples_;
  std::span<DepthScores> scores_;
  const int64_t loops_, pass_lanes_;
  PrefixTree tree_;
  std::vector<int64_t> row_of_node_;  // -1: nothing is scored there
  std::vector<std::vector<Target>> row_targets_;
  std::vector<float> states_;    // (nodes, E)
  std::vector<float> previous_;  // (rows, E): normed states of the loop before
  // Of a pass.
  std::vector<Lane> lanes_;
  std::vector<int64_t> nodes_;
  LaneArena arena_;
  std::vector<OpenBranch> ended_;
  std::vector<size_t> rows_;   // lanes to read out
  std::vector<float> wanted_;  // (rows, E)
  std::vector<float> logits_;  // (kReadOutRows, V)
  std::array<LogitSummary, kReadOutRows> summaries_;
};

// Neighbours that fit into the memory for states together: their end, and at most how many
// positions they are.
struct Group {
  size_t begin = 0;
  size_t end = 0;
  int64_t positions = 0;
};

std::vector<Group> groups_of(std::span<const EvalExample> examples, int64_t most_positions) {
  std::vector<Group> groups;
  for (size_t e = 0; e < examples.size(); ++e) {
    const std::span<const int32_t> text = read_of(examples[e]);
    const auto size = static_cast<int64_t>(text.size());
    if (!groups.empty()) {
      Group& last = groups.back();
      const int64_t more = size - common_prefix(text, read_of(examples[e - 1]));
      if (last.positions + more <= most_positions) {
        last.end = e + 1;
        last.positions += more;
        continue;
      }
    }
    groups.push_back({e, e + 1, size});
  }
  return groups;
}

}  // namespace

Result<std::vector<DepthScores>> score_depths(Model& model, std::span<const EvalExample> examples,
                                              int64_t loops, const ScoreOptions& options) {
  const ModelConfig& config = model.config();
  if (loops < 1 || loops > kMaxLoops) {
    return invalid_argument(fmt::format("loops is {}; expected 1 to {}", loops, kMaxLoops));
  }
  if (options.pass_lanes < 1) {
    return invalid_argument(
        fmt::format("pass_lanes is {}; expected 1 or more", options.pass_lanes));
  }
  for (size_t e = 0; e < examples.size(); ++e) {
    LOOPLM_RETURN_IF_ERROR(check(examples[e], e + 1, config));
  }
  // A position keeps its state and, where it is scored, its last normed state.
  const uint64_t position_bytes = 2 * static_cast<uint64_t>(config.hidden_size) * sizeof(float);
  const auto most = static_cast<int64_t>(options.state_bytes / position_bytes);
  const std::vector<Group> groups = groups_of(examples, most);
  double lanes = 0, done = 0;
  for (const Group& g : groups) lanes += static_cast<double>(g.positions * loops);

  std::vector<DepthScores> scores(examples.size());
  double expected = 0;
  for (const Group& g : groups) {
    GroupScorer scorer(model, examples.subspan(g.begin, g.end - g.begin),
                       std::span(scores).subspan(g.begin, g.end - g.begin), loops, options);
    scorer.run([&](int64_t count) {
      done += static_cast<double>(count);
      if (options.progress) options.progress(std::min(1.0, done / lanes));
    });
    // Texts that are no neighbours may have shared more than was counted.
    expected += static_cast<double>(g.positions * loops);
    done = expected;
  }
  if (options.progress && !groups.empty()) options.progress(1.0);
  return scores;
}

Result<DepthScores> score_depths(Model& model, const EvalExample& example, int64_t loops) {
  LOOPLM_ASSIGN_OR_RETURN(std::vector<DepthScores> scores,
                          score_depths(model, std::span(&example, 1), loops));
  return std::move(scores.front());
}

}  // namespace looplm
