// Chats of a corpus, rendered by a model's template, with the assistant's turns to learn.
#ifndef LOOPLM_TRAIN_CHAT_EXAMPLE_H_
#define LOOPLM_TRAIN_CHAT_EXAMPLE_H_

#include "looplm/chat.h"
#include "looplm/status.h"

#include "base/json.h"
#include "train/corpus.h"

namespace looplm {

// Whether a line's object, for it is one, has 'messages' or 'conversations', lists of messages, or
// an 'instruction' and its answer.
bool is_chat_example(const Json& object);

// Renders {"messages": [...], "tools": [...]}, ShareGPT's {"conversations": [{"from", "value"}]},
// {"prompt": [...], "completion": [...]} of messages, whose prompt is only read, or {"instruction",
// "input", "output"} (Alpaca's; also Dolly's "context" and "response"), of texts. Each assistant
// turn and its end are learnt, unless the turn has "weight" 0 (or "train", "training" or "loss",
// which may also be true and false). A turn is what the template marks with {% generation %};
// without marks, it is what follows the prompt for that turn, up to the end of the turn. Errors:
// what parse_chat_messages refuses, an empty assistant turn, no assistant turn, and a template that
// fails or that writes a chat's beginning differently when the chat goes on.
Result<CorpusDocument> render_chat_example(const OrderedJson& object, const ChatTemplate& chat);

// Whether a line's object, for it is one, is a preference, and whether it is one of chats.
bool is_preference(const Json& object);
bool is_preference_of_chats(const Json& object);

// Renders {"prompt": [...], "chosen": [...], "rejected": [...]} of messages. The prompt may be a
// text, the user's, or be missing: then both answers begin with it. OpenAI's {"input":
// {"messages"}, "preferred_output", "non_preferred_output"} says the same, and Alpaca's instruction
// or ShareGPT's conversations may stand for the prompt, with answers that are texts or single
// turns. The assistant turns after the prompt are learnt. Errors as above, and answers that are the
// same or do not follow the same prompt.
Result<CorpusDocument> render_preference(const OrderedJson& line, const ChatTemplate& chat);

}  // namespace looplm

#endif  // LOOPLM_TRAIN_CHAT_EXAMPLE_H_
