#include "experiments/core/study.h"

namespace looplm {

const std::vector<StudyEntry>& all_studies() {
  static const std::vector<StudyEntry> studies = {};
  return studies;
}

}  // namespace looplm
