// The work of the speculation study.
#ifndef LOOPLM_EXPERIMENTS_SPECULATION_SPECULATION_CELLS_H_
#define LOOPLM_EXPERIMENTS_SPECULATION_SPECULATION_CELLS_H_

#include "experiments/core/study.h"
#include "experiments/speculation/speculation_settings.h"

namespace looplm {

// {"loops", "texts": lines, "tokens", "same": [[share]], "right": [share], "settled": [share],
// "mean_settled"}: shares of the text's tokens, each predicted from those before it.
Result<OrderedJson> run_text_agreement(const SpeculationSettings& s, const SpeculationText& text,
                                       const CellContext& context);

// {"loops", "prompts", "modes": [{"name", "rate" (tokens per second, median), "over_plain",
// "passes", "lanes", "loops" (each per token), "tokens", "provisional", "revised", "same_as_plain",
// "agreement": [share by loop, null where none was read]}], "settled": mean loop from which all
// agree, "replay": {..}}.
Result<OrderedJson> run_decoding(const SpeculationSettings& s, const SpeculationSet& set,
                                 const CellContext& context);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SPECULATION_SPECULATION_CELLS_H_
