#include "experiments/core/study.h"

namespace looplm {

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

}  // namespace looplm
