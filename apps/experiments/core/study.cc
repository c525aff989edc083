#include "experiments/core/study.h"

#include <algorithm>

namespace looplm {

std::function<bool(double)> CellContext::reporter(const std::string& note, double from,
                                                  double to) const {
  return [this, note, from, to](double share) {
    if (progress) progress(from + share * (to - from), note);
    return !stopped();
  };
}

Status stopped_cell() { return {StatusCode::kCancelled, "stopped"}; }

const char* verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kReproduced:
      return "reproduced";
    case Verdict::kPartly:
      return "partly";
    case Verdict::kNotReproduced:
      return "not";
    case Verdict::kNotTested:
      return "not tested";
  }
  return "?";
}

Verdict graded(bool reproduced, bool partly) {
  if (reproduced) return Verdict::kReproduced;
  return partly ? Verdict::kPartly : Verdict::kNotReproduced;
}

Verdict graded_all(const std::vector<bool>& parts) {
  if (parts.empty()) return Verdict::kNotTested;
  return graded(std::ranges::count(parts, false) == 0, std::ranges::count(parts, true) > 0);
}

const std::vector<StudyEntry>& all_studies() {
  static const std::vector<StudyEntry> studies = {
      {"depth", make_depth_study},
      {"exits", make_exits_study},
      {"kv", make_kv_study},
      {"prior", make_prior_study},
      {"capo", make_capo_study},
      {"mano", make_mano_study},
      {"multihop", make_multihop_study},
      {"reachability", make_reachability_study},
      {"scaling", make_scaling_study},
      {"safety", make_safety_study},
      {"faithfulness", make_faithfulness_study},
      {"speculation", make_speculation_study},
  };
  return studies;
}

}  // namespace looplm
