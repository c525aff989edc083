// The paper's one-layer transformer that decides reachability, written out as matrices
// (arXiv:2510.25741, section 6.3 and appendix B.5).
//
// Column j of H (2n, n) is [v_j ; a_j]: v_j one-hot, and a_j the 0/1 row of nodes that j is known
// to reach, at first its context edges. One loop is
//
//   H'  = LN(H + V H softmax(H^T K^T Q H))        the softmax down each column
//   H'' = LN(H' + W2 ReLU(W1 H'))                 LN(x) = 1 where x > 0, else 0
//
// with K = beta [[I,0],[0,0]], V = [[0,0],[0,I]], W1 = [[0,0],[A,0]] where A[k][j] = 1 for a hidden
// edge j -> k, and W2 = I. Attention should average the a of all nodes that j reaches, so the
// distance that is known doubles each loop; the feed-forward part adds the hidden edges. Then
// ceil(log2 D) + 1 loops give all of the combined graph of diameter D.
//
// As printed, Q = [[0,0],[0,I]], which makes K^T Q zero: attention is uniform, and every node
// receives what any node has. With Q = [[0,I],[0,0]] the score of key k and query j is beta a_j[k],
// as the proof wants. And a node without context edges has no score above 0, so it would attend to
// everybody: a_j must hold j itself.
#ifndef LOOPLM_EXPERIMENTS_REACHABILITY_CONSTRUCTION_H_
#define LOOPLM_EXPERIMENTS_REACHABILITY_CONSTRUCTION_H_

#include <Eigen/Dense>

#include "experiments/reachability/graph.h"

namespace looplm {

enum class QueryMatrix { kPrinted, kCorrected };
enum class SelfLoops { kNone, kAdded };

struct ConstructionOptions {
  QueryMatrix query = QueryMatrix::kCorrected;
  SelfLoops self_loops = SelfLoops::kAdded;
  // Large, for infinity. An unreached node's weight is at most exp(-beta), and 1{x > 0} turns any
  // positive weight into a 1: only where exp(-beta) rounds to 0, in double from 746 on, is the
  // softmax that of beta = infinity.
  double beta = 1000;
  // LN(x) = 1 where x > threshold. With a threshold below 1 / n, the least weight of a reached
  // node, and above the n exp(-beta) of all others, a far smaller beta will do.
  double threshold = 0;
};

class Construction {
 public:
  // The weights, which know the hidden edges alone.
  Construction(const SplitGraph& graph, const ConstructionOptions& options);

  // H (2n, n) of the input, which knows the context edges alone.
  Eigen::MatrixXd embed(const SplitGraph& graph) const;
  Eigen::MatrixXd loop(const Eigen::MatrixXd& h) const;

 private:
  Eigen::MatrixXd norm(const Eigen::MatrixXd& x) const;

  Eigen::Index n_;
  ConstructionOptions options_;
  Eigen::MatrixXd k_, q_, v_, w1_, w2_;
};

// What the state answers: entry (s, t), row s first, is 1 where t can be reached from s.
std::vector<uint8_t> answers(const Eigen::MatrixXd& h);
// The same by the search.
std::vector<uint8_t> answers(const std::vector<int>& distances);

// The theorem's ceil(log2 D) + 1; 1 for a graph without edges.
int loops_bound(int diameter);

struct ConstructionRun {
  int diameter = 0;
  int bound = 0;           // loops_bound(diameter)
  int loops_right = -1;    // the first number of loops after which all answers are right; -1: none
                           // up to the bound, or right and wrong again
  double pairs_right = 0;  // share of right answers, of all s != t, after `bound` loops
  double pairs_right_fewer = 0;  // after one loop fewer
};

// Runs `loops_bound` loops and holds each loop's answers against a breadth-first search.
ConstructionRun run_construction(const SplitGraph& graph, const ConstructionOptions& options);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_REACHABILITY_CONSTRUCTION_H_
