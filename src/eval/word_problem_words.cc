#include "eval/word_problem_words.h"

namespace looplm {
namespace {

constexpr ProblemName kNames[] = {
    {"Ann", true},     {"Ben", false},    {"Tom", false},     {"Eva", true},     {"Sam", false},
    {"Mia", true},     {"Max", false},    {"Lily", true},     {"Leo", false},    {"Anna", true},
    {"Paul", false},   {"Sara", true},    {"Peter", false},   {"Emma", true},    {"Jack", false},
    {"Lucy", true},    {"David", false},  {"Maria", true},    {"Tim", false},    {"Nina", true},
    {"Adam", false},   {"Rosa", true},    {"Omar", false},    {"Amy", true},     {"John", false},
    {"Kate", true},    {"Bob", false},    {"Alice", true},    {"Dan", false},    {"Mary", true},
    {"Ali", false},    {"Sofia", true},   {"Ivan", false},    {"Julia", true},   {"Luis", false},
    {"Olga", true},    {"Hugo", false},   {"Laura", true},    {"Felix", false},  {"Hanna", true},
    {"Noah", false},   {"Ella", true},    {"Oscar", false},   {"Clara", true},   {"James", false},
    {"Nora", true},    {"Erik", false},   {"Maya", true},     {"Anton", false},  {"Elena", true},
    {"Carl", false},   {"Ruth", true},    {"Simon", false},   {"Vera", true},    {"Mark", false},
    {"Aisha", true},   {"Kofi", false},   {"Yuki", true},     {"Ravi", false},   {"Mei", true},
    {"Jonas", false},  {"Greta", true},   {"Martin", false},  {"Helen", true},   {"Victor", false},
    {"Irene", true},   {"Daniel", false}, {"Teresa", true},   {"Henry", false},  {"Linda", true},
    {"Ahmed", false},  {"Fatima", true},  {"Kenji", false},   {"Priya", true},   {"Pablo", false},
    {"Ingrid", true},  {"Walter", false}, {"Monica", true},   {"Robert", false}, {"Sandra", true},
    {"Gustav", false}, {"Amina", true},   {"Rafael", false},  {"Paula", true},   {"Stefan", false},
    {"Judith", true},  {"Thomas", false}, {"Camila", true},   {"Edward", false}, {"Bianca", true},
    {"Samuel", false}, {"Louise", true},  {"Nikolai", false}, {"Yasmin", true},  {"Arthur", false},
    {"Miriam", true},  {"Philip", false}, {"Chloe", true},    {"Hassan", false}, {"Denise", true},
};

constexpr ProblemName kHeldOutNames[] = {
    {"Zoe", true},   {"Igor", false},  {"Carmen", true}, {"Otto", false},
    {"Sonja", true}, {"Diego", false}, {"Frida", true},  {"Bruno", false},
    {"Leila", true}, {"Marco", false}, {"Petra", true},  {"Kevin", false},
};

constexpr std::string_view kThings[] = {
    "pens",    "books",   "coins",  "stamps", "balls",   "cards",    "shells",   "stones",
    "keys",    "cups",    "hats",   "toys",   "marbles", "flowers",  "stickers", "pencils",
    "buttons", "candles", "plates", "boats",  "kites",   "lamps",    "ribbons",  "photos",
    "maps",    "beads",   "spoons", "chairs", "tickets", "feathers", "bottles",  "magnets",
};
constexpr std::string_view kFoods[] = {
    "apples", "eggs",   "cakes",   "nuts",    "pears",  "plums",   "figs",
    "lemons", "grapes", "cookies", "bananas", "olives", "oranges", "carrots",
};
constexpr std::string_view kContainers[] = {"boxes", "bags", "baskets", "jars", "packs"};

constexpr ProblemVerb kGaining[] = {{"buys", "bought"},
                                    {"finds", "found"},
                                    {"gets", "got"},
                                    {"wins", "won"},
                                    {"picks up", "picked up"}};
constexpr ProblemVerb kLosing[] = {{"loses", "lost"},
                                   {"sells", "sold"},
                                   {"gives away", "gave away"},
                                   {"drops", "dropped"},
                                   {"eats", "ate"}};  // the last one only for foods

constexpr std::string_view kIdle[] = {
    "It is a sunny day.", "It rains outside.",   "The shop is near the station.",
    "The dog is asleep.", "Everyone is happy.",  "The market opens at 9.",
    "A bus goes by.",     "It is already late.", "The train leaves at 8.",
};

constexpr std::string_view kHello[] = {"Hello.",        "Hello!",      "Hi.", "Hi!",
                                       "Hello",         "Hi",          "Hey", "Good morning.",
                                       "Good evening.", "Hello there!"};
constexpr std::string_view kWho[] = {
    "Who are you?",     "What are you?",     "who are you",        "What is your name?",
    "Are you a robot?", "Are you a person?", "Tell me about you.", "What kind of model are you?"};
constexpr std::string_view kCan[] = {
    "What can you do?",   "How can you help me?", "What do you know?", "Help",
    "What should I ask?", "What can I ask you?",  "what can you do",   "Can you help me?"};
constexpr std::string_view kWrong[] = {
    "Are you always right?", "Can you be wrong?", "Do you make mistakes?", "Can I trust you?",
    "Are you sure?",         "Is that right?",    "How good are you?",     "are you sure"};
constexpr std::string_view kHow[] = {
    "How do you work?",    "How do you think?", "What is a loop?",       "What is a looped model?",
    "Why are you looped?", "How do you count?", "What does the gate do?"};
constexpr std::string_view kSize[] = {"How big are you?", "How large are you?", "Are you small?",
                                      "How many parameters do you have?"};
constexpr std::string_view kThanks[] = {"Thank you.", "Thanks.", "Thanks!",   "Thank you!",
                                        "thanks",     "Great!",  "Well done."};
constexpr std::string_view kBye[] = {"Bye.", "Goodbye.", "See you.", "bye", "Good night."};
constexpr std::string_view kFeel[] = {"How are you?", "how are you", "How do you feel?",
                                      "Are you well?"};
constexpr std::string_view kExample[] = {"Give me an example.", "Show me an example.",
                                         "What does a problem look like?", "Tell me a problem."};

constexpr SmallTalk kTalk[] = {
    {kHello, "Hello! Tell me a small problem with numbers."},
    {kWho, "I am a very small looped language model."},
    {kCan, "I can work out small word problems and sums with numbers up to 20."},
    {kWrong, "I can be wrong. Please check what I say."},
    {kHow, "I read the same layers several times before I say a word. A gate says when to stop."},
    {kSize, "I am tiny. I fit into a few megabytes."},
    {kThanks, "You are welcome."},
    {kBye, "Goodbye!"},
    {kFeel, "I am only a program, but thank you for asking."},
    {kExample, "Ann has 3 boxes with 4 pens each and gives away 5 pens. How many are left?"},
};

constexpr std::string_view kForeign[] = {
    "What is the capital of",
    "Tell me about",
    "Write a poem about",
    "Who invented",
    "Where is",
    "Do you like",
    "Write a story about",
    "What do you think of",
    "Explain",
    "How do I find",
    "Translate",
    "Why is there",
};
constexpr std::string_view kSubjects[] = {
    "France", "the sea",   "music",   "Berlin",       "love",  "the moon", "football",
    "China",  "computers", "history", "the weather",  "cats",  "physics",  "the telephone",
    "art",    "winter",    "money",   "the internet", "water", "my house", "politics",
};

}  // namespace

std::span<const ProblemName> problem_names() { return kNames; }
std::span<const ProblemName> held_out_names() { return kHeldOutNames; }
std::span<const std::string_view> problem_things() { return kThings; }
std::span<const std::string_view> problem_foods() { return kFoods; }
std::span<const std::string_view> problem_containers() { return kContainers; }
std::span<const ProblemVerb> gaining_verbs() { return kGaining; }
std::span<const ProblemVerb> losing_verbs() { return kLosing; }
std::span<const std::string_view> idle_sentences() { return kIdle; }
std::span<const SmallTalk> small_talk() { return kTalk; }
std::span<const std::string_view> foreign_questions() { return kForeign; }
std::span<const std::string_view> foreign_subjects() { return kSubjects; }

}  // namespace looplm
