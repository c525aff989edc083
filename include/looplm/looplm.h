// The whole public API in one include. A large program does better to include what it uses.
#ifndef LOOPLM_LOOPLM_H_
#define LOOPLM_LOOPLM_H_

#include "looplm/chat.h"
#include "looplm/config.h"
#include "looplm/constraint.h"
#include "looplm/engine.h"
#include "looplm/generate.h"
#include "looplm/interchange.h"
#include "looplm/kv_policy.h"
#include "looplm/model.h"
#include "looplm/read_out.h"
#include "looplm/status.h"
#include "looplm/tensor.h"
#include "looplm/tokenizer.h"
#include "looplm/tokenizer_trainer.h"
#include "looplm/trace.h"
#include "looplm/train.h"

#endif  // LOOPLM_LOOPLM_H_
