#include "experiments/core/study.h"
#include "experiments/mano/mano_study.h"
#include "experiments/multihop/multihop_study.h"

namespace looplm {

const std::vector<StudyEntry>& all_studies() {
  static const std::vector<StudyEntry> studies = {
      {"mano", make_mano_study},
      {"multihop", make_multihop_study},
  };
  return studies;
}

}  // namespace looplm
