#include "eval/word_problem_words.h"

#include <algorithm>
#include <utility>

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

constexpr ProblemName kMoreNames[] = {
    {"Jake", false},    {"Emily", true},    {"Lucas", false},   {"Sophie", true},
    {"Liam", false},    {"Olivia", true},   {"Ethan", false},   {"Grace", true},
    {"Mason", false},   {"Ava", true},      {"Logan", false},   {"Charlotte", true},
    {"Oliver", false},  {"Amelia", true},   {"William", false}, {"Isabella", true},
    {"Jacob", false},   {"Abigail", true},  {"Michael", false}, {"Hazel", true},
    {"Luke", false},    {"Hannah", true},   {"Dylan", false},   {"Stella", true},
    {"Nathan", false},  {"Natalie", true},  {"Ryan", false},    {"Claire", true},
    {"Andrew", false},  {"Bella", true},    {"George", false},  {"Jane", true},
    {"Charlie", false}, {"Sally", true},    {"Steve", false},   {"Susan", true},
    {"Mike", false},    {"Karen", true},    {"Jim", false},     {"Nancy", true},
    {"Joe", false},     {"Betty", true},    {"Bill", false},    {"Rachel", true},
    {"Frank", false},   {"Jessica", true},  {"Harry", false},   {"Megan", true},
    {"Ron", false},     {"Molly", true},    {"Ken", false},     {"Daisy", true},
    {"Theo", false},    {"Ruby", true},     {"Finn", false},    {"Ellie", true},
    {"Josh", false},    {"Freya", true},    {"Alex", false},    {"Wendy", true},
    {"Chris", false},   {"Tina", true},     {"Matthew", false}, {"Kim", true},
    {"Joseph", false},  {"Lisa", true},     {"Owen", false},    {"Beth", true},
    {"Gabriel", false}, {"Victoria", true}, {"Aaron", false},   {"Diana", true},
    {"Piotr", false},   {"Natasha", true},  {"Sergei", false},  {"Anya", true},
    {"Wei", false},     {"Ling", true},     {"Hiro", false},    {"Sakura", true},
    {"Raj", false},     {"Anita", true},    {"Arjun", false},   {"Deepa", true},
    {"Youssef", false}, {"Layla", true},    {"Kwame", false},   {"Zainab", true},
    {"Juan", false},    {"Lucia", true},    {"Miguel", false},  {"Ines", true},
    {"Pedro", false},   {"Giulia", true},   {"Matteo", false},  {"Francesca", true},
    {"Pierre", false},  {"Amelie", true},   {"Hans", false},    {"Heidi", true},
    {"Lars", false},    {"Astrid", true},   {"Sven", false},    {"Gwen", true},
    {"Quentin", false}, {"Phoebe", true},   {"Xavier", false},  {"Ursula", true},
    {"Ibrahim", false}, {"Esther", true},   {"Timothy", false}, {"Beatrice", true},
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

constexpr std::string_view kMoreThings[] = {
    "dolls",   "cars",    "crayons", "blocks", "bricks",  "balloons",  "notebooks", "puzzles",
    "games",   "rings",   "letters", "shirts", "socks",   "bikes",     "trees",     "roses",
    "dollars", "watches", "knives",  "leaves", "brushes", "paintings", "songs",     "computers"};
constexpr std::string_view kMoreFoods[] = {
    "cherries", "tomatoes", "peaches", "potatoes", "sandwiches",  "candies",    "sweets",
    "mangoes",  "berries",  "muffins", "donuts",   "pancakes",    "chocolates", "pizzas",
    "beans",    "onions",   "kiwis",   "melons",   "strawberries"};
constexpr std::string_view kMoreAnimals[] = {
    "fish",  "sheep", "mice",    "puppies", "kittens", "chickens", "lions", "monkeys",
    "foxes", "bees",  "turtles", "geese",   "snails",  "ponies",   "bears", "spiders"};
// Plurals that are no singular and s.
constexpr std::pair<std::string_view, std::string_view> kSingulars[] = {
    {"boxes", "box"},           {"watches", "watch"}, {"knives", "knife"},
    {"leaves", "leaf"},         {"brushes", "brush"}, {"cherries", "cherry"},
    {"tomatoes", "tomato"},     {"peaches", "peach"}, {"potatoes", "potato"},
    {"sandwiches", "sandwich"}, {"candies", "candy"}, {"mangoes", "mango"},
    {"berries", "berry"},       {"fish", "fish"},     {"sheep", "sheep"},
    {"mice", "mouse"},          {"puppies", "puppy"}, {"foxes", "fox"},
    {"geese", "goose"},         {"ponies", "pony"},   {"strawberries", "strawberry"},
    {"shelves", "shelf"},
};
constexpr std::string_view kColours[] = {"red",   "blue", "green", "yellow", "white",
                                         "black", "big",  "small", "old",    "new"};

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

constexpr ProblemName kRoles[] = {
    {"farmer", false}, {"girl", true},  {"boy", false},    {"baker", false}, {"teacher", true},
    {"man", false},    {"woman", true}, {"sailor", false}, {"doctor", true}, {"child", true},
    {"king", false},   {"queen", true}, {"cook", false},
};
constexpr std::string_view kRelatives[] = {"mother", "father", "brother", "sister",
                                           "friend", "aunt",   "uncle",   "cousin"};
constexpr std::string_view kFreeContainers[] = {"boxes", "bags", "baskets", "jars",   "packs",
                                                "trays", "rows", "drawers", "shelves"};
constexpr std::string_view kAnimals[] = {"cows", "dogs",   "cats",  "birds",   "hens",  "goats",
                                         "pigs", "horses", "ducks", "rabbits", "frogs", "lambs"};
constexpr std::string_view kAnimalPlaces[] = {"fields", "barns", "cages"};
constexpr std::string_view kPlaces[] = {"in the house",  "in the garden", "in the field",
                                        "on the table",  "in the box",    "in the room",
                                        "in the street", "here",          "in a bag"};
constexpr ProblemVerb kFreeGaining[] = {
    {"buys", "bought"}, {"finds", "found"},        {"gets", "got"},
    {"wins", "won"},    {"picks up", "picked up"}, {"takes", "took"},
    {"makes", "made"},  {"receives", "received"},  {"collects", "collected"},
};
constexpr ProblemVerb kFreeLosing[] = {
    {"loses", "lost"},
    {"sells", "sold"},
    {"gives away", "gave away"},
    {"drops", "dropped"},
    {"throws away", "threw away"},
    {"breaks", "broke"},
    {"uses", "used"},
    {"eats", "ate"},  // the last one only for foods
};
constexpr ProblemVerb kWideGaining[] = {
    {"earns", "earned"},   {"gathers", "gathered"}, {"picks", "picked"},
    {"catches", "caught"}, {"borrows", "borrowed"}, {"adds", "added"},
};
constexpr ProblemVerb kWideLosing[] = {
    {"lends", "lent"},   {"donates", "donated"},     {"returns", "returned"},
    {"mails", "mailed"}, {"misplaces", "misplaced"}, {"sends", "sent"},
};
constexpr ProblemVerb kVerbForms[] = {
    {"earns", "earned", "earn"},
    {"gathers", "gathered", "gather"},
    {"catches", "caught", "catch"},
    {"borrows", "borrowed", "borrow"},
    {"adds", "added", "add"},
    {"lends", "lent", "lend"},
    {"donates", "donated", "donate"},
    {"returns", "returned", "return"},
    {"mails", "mailed", "mail"},
    {"misplaces", "misplaced", "misplace"},
    {"sends", "sent", "send"},
    {"has", "had", "have"},
    {"starts", "started", "start"},
    {"owns", "owned", "own"},
    {"doubles", "doubled", "double"},
    {"buys", "bought", "buy"},
    {"finds", "found", "find"},
    {"gets", "got", "get"},
    {"wins", "won", "win"},
    {"picks", "picked", "pick"},
    {"takes", "took", "take"},
    {"makes", "made", "make"},
    {"receives", "received", "receive"},
    {"collects", "collected", "collect"},
    {"loses", "lost", "lose"},
    {"sells", "sold", "sell"},
    {"gives", "gave", "give"},
    {"drops", "dropped", "drop"},
    {"throws", "threw", "throw"},
    {"breaks", "broke", "break"},
    {"uses", "used", "use"},
    {"eats", "ate", "eat"},
};
constexpr ProblemVerb kComing[] = {
    {"are added", "were added", "is added"},  {"are found", "were found", "is found"},
    {"come back", "came back", "comes back"}, {"come", "came", "comes"},  // from here on animals
    {"arrive", "arrived", "arrives"},         {"are born", "were born", "is born"}};
constexpr ProblemVerb kLeaving[] = {
    {"are lost", "were lost", "is lost"},  {"are sold", "were sold", "is sold"},
    {"get lost", "got lost", "gets lost"}, {"are taken away", "were taken away", "is taken away"},
    {"break", "broke", "breaks"},          {"fall down", "fell down", "falls down"}};
constexpr ProblemVerb kAnimalsLeaving[] = {{"run away", "ran away", "runs away"},
                                           {"leave", "left", "leaves"},
                                           {"die", "died", "dies"},
                                           {"go away", "went away", "goes away"},
                                           {"are sold", "were sold", "is sold"}};
constexpr ProblemVerb kFoodsLeaving[] = {{"are eaten", "were eaten", "is eaten"},
                                         {"go bad", "went bad", "goes bad"},
                                         {"are sold", "were sold", "is sold"}};

constexpr std::string_view kIdle[] = {
    "It is a sunny day.", "It rains outside.",   "The shop is near the station.",
    "The dog is asleep.", "Everyone is happy.",  "The market opens at 9.",
    "A bus goes by.",     "It is already late.", "The train leaves at 8.",
};

constexpr std::string_view kNewProblems[] = {
    "Another one:",         "New problem:", "Another problem:",
    "Next problem:",        "Next:",        "One more:",
    "Here is another one.", "A new story.", "Now this one:",
    "Another one.",         "OK.",          "Thanks.",
    "new problem:",         "next",         "Good.",
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
constexpr std::string_view kWhy[] = {
    "Why?",          "How did you get that?",   "Show your steps.", "How so?",
    "Explain that.", "Can you show your work?", "How do you know?"};
constexpr std::string_view kNo[] = {"No.",    "That is wrong.", "No, that is wrong.",
                                    "Wrong!", "wrong",          "That is not right."};
constexpr std::string_view kYes[] = {"Yes.", "OK.",  "ok",     "Right.", "Good.",
                                     "Okay", "Nice", "I see.", "yes",    "That is right."};

// Of wide wording, where each also comes in small letters and without its mark.
constexpr std::string_view kMoreHello[] = {
    "Hi there!",  "Hey there.",  "Hello, who is there?", "Good afternoon.",   "Greetings!",
    "Hi, model.", "Hello model", "Hi, how is it going?", "Nice to meet you.", "Good day."};
constexpr std::string_view kMoreWho[] = {
    "Who am I talking to?", "What's your name?",    "Are you an AI?",     "Are you ChatGPT?",
    "Are you human?",       "What model are you?",  "Are you a machine?", "Tell me about yourself.",
    "Do you have a name?",  "Are you a chatbot?",   "What is this?",      "Are you real?",
    "Introduce yourself.",  "Are you intelligent?", "Who is this?",       "What are you called?"};
constexpr std::string_view kMoreCan[] = {
    "What are you good at?",      "What can you tell me?", "What do you do?",
    "Can you do sums?",           "Can you count?",        "Can you do maths?",
    "What problems do you know?", "Do you know numbers?",  "What else can you do?",
    "How do I use you?",          "What are you for?",     "Which numbers do you know?",
    "Can you solve problems?",    "What is your job?",     "Help me."};
constexpr std::string_view kMoreWrong[] = {"Are you often wrong?",
                                           "Can I rely on you?",
                                           "Do you ever make mistakes?",
                                           "Is it correct?",
                                           "Really?",
                                           "Is this true?",
                                           "How accurate are you?",
                                           "Are you certain?",
                                           "Is that correct?",
                                           "Should I check it?",
                                           "Can you make mistakes?"};
constexpr std::string_view kMoreHow[] = {
    "How are you made?",           "How do your loops work?", "What do your loops do?",
    "How many loops do you have?", "Why do you loop?",        "What is the gate?",
    "How do you add numbers?",     "What is inside you?",     "How do you find the answer?"};
constexpr std::string_view kMoreSize[] = {"How small are you?",
                                          "Are you big?",
                                          "What is your size?",
                                          "How many layers do you have?",
                                          "Are you a large language model?",
                                          "How much memory do you need?"};
constexpr std::string_view kMoreThanks[] = {
    "Thanks a lot.", "Thank you very much.", "Many thanks!", "Thx",       "Cool, thanks.",
    "Perfect!",      "Excellent.",           "Good job!",    "Very good", "That helped."};
constexpr std::string_view kMoreBye[] = {"Bye bye.",      "See you later.", "Good bye.",
                                         "I have to go.", "Farewell.",      "That is all.",
                                         "Quit",          "Until later!"};
constexpr std::string_view kMoreFeel[] = {"How are you doing?", "How is it going?",
                                          "Are you happy?",     "How are you today?",
                                          "What's up?",         "Are you fine?"};
constexpr std::string_view kMoreExample[] = {
    "For example?",          "Tell me a story.",     "Ask me something.", "Give me a problem.",
    "What could I ask you?", "Show me what to ask.", "Make up a problem."};
constexpr std::string_view kMoreWhy[] = {
    "How did you do that?",     "Explain your answer.", "Can you explain?", "Why is that?",
    "How did you work it out?", "What are the steps?",  "Show me how.",     "Explain it to me."};
constexpr std::string_view kMoreNo[] = {
    "That's wrong.", "You are wrong.", "No it is not.",      "This is not true.",
    "Incorrect.",    "Nope",           "I do not think so.", "That can't be right."};
constexpr std::string_view kMoreYes[] = {"Correct!", "Yes, that is right.", "Right!",
                                         "Exactly.", "That's right.",       "Sure",
                                         "Fine.",    "All right.",          "Yep"};

constexpr SmallTalk kTalk[] = {
    {kHello, "Hello! Tell me a small problem with numbers.", kMoreHello},
    {kWho, "I am a very small looped language model.", kMoreWho},
    {kCan, "I can work out small word problems and sums with numbers up to 20.", kMoreCan},
    {kWrong, "I can be wrong. Please check what I say.", kMoreWrong},
    {kHow, "I read the same layers several times before I say a word. A gate says when to stop.",
     kMoreHow},
    {kSize, "I am tiny. I fit into a few megabytes.", kMoreSize},
    {kThanks, "You are welcome.", kMoreThanks},
    {kBye, "Goodbye!", kMoreBye},
    {kFeel, "I am only a program, but thank you for asking.", kMoreFeel},
    {kExample, "Ann has 3 boxes with 4 pens each and gives away 5 pens. How many are left?",
     kMoreExample},
    {kWhy, "I count in my loops and cannot show the steps.", kMoreWhy},
    {kNo, "I am sorry. Please tell me the problem again.", kMoreNo},
    {kYes, "Good. Tell me another problem.", kMoreYes},
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
    "Who is the king of",
    "What do you know about",
    "Can you tell me about",
    "How far is",
    "How old is",
    "What is",
};
constexpr std::string_view kSubjects[] = {
    "France", "the sea",   "music",   "Berlin",       "love",  "the moon", "football",
    "China",  "computers", "history", "the weather",  "cats",  "physics",  "the telephone",
    "art",    "winter",    "money",   "the internet", "water", "my house", "politics",
};
constexpr std::string_view kSentences[] = {
    "What time is it?",
    "Tell me a joke.",
    "What day is it today?",
    "Can you write code?",
    "Sing a song.",
    "Do you speak German?",
    "How is the weather?",
    "Will it rain tomorrow?",
    "Where do you live?",
    "Who made you?",
    "What is the meaning of life?",
    "Are you hungry?",
    "I am tired.",
    "I like you.",
    "What should I eat?",
    "Can you help me with my homework?",
    "How old are you?",
    "Write an email to my boss.",
    "What is the news?",
    "Open the door.",
    "Play some music.",
    "Do you have friends?",
    "My name is Tom.",
    "Let us play a game.",
};
constexpr std::string_view kMoreSentences[] = {
    "I am bored.",
    "Who is the president?",
    "Do you dream?",
    "What colour is the sky?",
    "Say something nice.",
    "Can you sing?",
    "What should I do today?",
    "Is there life on Mars?",
    "Who won the game?",
    "What is your favourite colour?",
    "Do you love me?",
    "Read me the news.",
    "When is Christmas?",
    "Can you drive a car?",
    "How do planes fly?",
    "What is the largest animal?",
    "Why is the sky blue?",
    "How do I cook rice?",
    "Count to ten.",
    "Where is my phone?",
    "Spell your name.",
    "What is a prime number?",
    "Who wrote this book?",
    "Recommend a film.",
    "What language do you speak?",
    "Can you see me?",
    "Call my mother.",
    "Do you eat?",
    "My dog is ill.",
    "I like trains.",
    "Remember my name.",
    "What is love?",
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
std::span<const ProblemName> problem_roles() { return kRoles; }
std::span<const std::string_view> problem_relatives() { return kRelatives; }
std::span<const std::string_view> free_containers() { return kFreeContainers; }
std::span<const std::string_view> problem_animals() { return kAnimals; }
std::span<const std::string_view> animal_places() { return kAnimalPlaces; }
std::span<const std::string_view> problem_places() { return kPlaces; }
std::span<const ProblemVerb> free_gaining_verbs() { return kFreeGaining; }
std::span<const ProblemVerb> free_losing_verbs() { return kFreeLosing; }
std::span<const ProblemVerb> problem_verb_forms() { return kVerbForms; }
std::span<const ProblemVerb> coming_verbs(bool animals) {
  return std::span(kComing).first(animals ? std::size(kComing) : 3);
}
std::span<const ProblemVerb> leaving_verbs(bool animals, bool foods) {
  if (animals) return kAnimalsLeaving;
  if (foods) return kFoodsLeaving;
  return kLeaving;
}
std::span<const ProblemName> more_names() { return kMoreNames; }
std::span<const std::string_view> more_things(bool animals, bool foods) {
  if (animals) return kMoreAnimals;
  if (foods) return kMoreFoods;
  return kMoreThings;
}
std::span<const std::string_view> problem_colours() { return kColours; }
std::span<const ProblemVerb> wide_gaining_verbs() { return kWideGaining; }
std::span<const ProblemVerb> wide_losing_verbs() { return kWideLosing; }
std::string singular(const std::string& things) {
  const auto* listed = std::ranges::find(kSingulars, things, [](const auto& s) { return s.first; });
  if (listed != std::end(kSingulars)) return std::string(listed->second);
  return things.substr(0, things.size() - 1);
}
std::span<const std::string_view> new_problems() { return kNewProblems; }
std::span<const SmallTalk> small_talk() { return kTalk; }
std::span<const std::string_view> foreign_questions() { return kForeign; }
std::span<const std::string_view> foreign_subjects() { return kSubjects; }
std::span<const std::string_view> foreign_sentences() { return kSentences; }
std::span<const std::string_view> more_foreign_sentences() { return kMoreSentences; }

}  // namespace looplm
