// An answer in another API's words: what OpenAI's format says of the only choice, said differently.
#ifndef LOOPLM_SERVE_TRANSLATED_ANSWER_H_
#define LOOPLM_SERVE_TRANSLATED_ANSWER_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "serve/api.h"

namespace looplm {

class TranslatedAnswer : public AnswerFormat {
 public:
  explicit TranslatedAnswer(std::unique_ptr<AnswerFormat> openai) : openai_(std::move(openai)) {}

  void token(size_t choice, const GeneratedToken& token, std::vector<StreamEvent>& out) final;
  void ended(size_t choice, const Generation& generation, std::vector<StreamEvent>& out) final;
  void closed(const Usage& usage, std::vector<StreamEvent>& out) final;
  OrderedJson whole(const Usage& usage) final;
  int64_t reasoning_tokens() const final { return openai_->reasoning_tokens(); }
  std::string last_line() const override { return ""; }

 protected:
  // A piece of the answer: chat's delta, or {"content": text} of a completion.
  virtual void delta(const OrderedJson& delta, std::vector<StreamEvent>& out) = 0;
  // OpenAI's log-probabilities of the tokens of the delta that follows.
  virtual void log_probabilities(const OrderedJson& /*tokens*/) {}
  // The stream's end; `message` is the whole answer.
  virtual void close(const OrderedJson& message, const Usage& usage,
                     std::vector<StreamEvent>& out) = 0;
  virtual OrderedJson answer(const OrderedJson& message, const Usage& usage) = 0;
  // The engine's own record, before close() and answer().
  virtual void over(const Generation& /*generation*/) {}

  const std::string& finish_reason() const { return finish_reason_; }  // OpenAI's

 private:
  void translate(const std::vector<StreamEvent>& chunks, std::vector<StreamEvent>& out);
  OrderedJson message(const Usage& usage);

  const std::unique_ptr<AnswerFormat> openai_;
  std::string finish_reason_;
};

// For translating requests. Copies fields that have the same meaning and name.
void copy_fields(const OrderedJson& from, std::initializer_list<const char*> names,
                 OrderedJson& to);

// The text at a name; empty where there is none, or something else.
std::string text_at(const OrderedJson& object, const char* name);
// The value at a name, or null.
OrderedJson value_at(const OrderedJson& object, const char* name);

// The text of "content": a text, or a list of parts whose types are among `types`, each with its
// "text". Names the part that is something else.
std::string text_of_content(Fields& f, const std::string& path, const OrderedJson& content,
                            std::initializer_list<std::string_view> types);

// A tool as one of OpenAI's `tools`: its name, description and strict, and the schema that it has
// under `parameters`.
OrderedJson function_tool(const OrderedJson& tool, const char* parameters);

// The arguments of a call as an object; empty where they were cut short.
OrderedJson arguments_object(const OrderedJson& text);

}  // namespace looplm

#endif  // LOOPLM_SERVE_TRANSLATED_ANSWER_H_
