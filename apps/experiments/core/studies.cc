#include "experiments/capo/capo_study.h"
#include "experiments/core/study.h"
#include "experiments/depth/depth_study.h"
#include "experiments/exits/exits_study.h"
#include "experiments/faithfulness/faithfulness_study.h"
#include "experiments/kv/kv_study.h"
#include "experiments/mano/mano_study.h"
#include "experiments/multihop/multihop_study.h"
#include "experiments/prior/prior_study.h"
#include "experiments/reachability/reachability_study.h"
#include "experiments/safety/safety_study.h"
#include "experiments/scaling/scaling_study.h"
#include "experiments/speculation/speculation_study.h"

namespace looplm {

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
