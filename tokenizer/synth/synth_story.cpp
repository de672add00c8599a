#include "tokenizer/synth/synth_story.h"

namespace lapilli {

namespace {

// Rows are in order of falling probability. Names have their pronouns, so a later pronoun depends on the name at the
// start.
const std::vector<TableSpec> kTables = {
    {"name", 6, {"he", "him", "his", "kind"}, {"Lily|she|her|her|girl", "Tom|he|him|his|boy",   "Mia|she|her|her|girl",   "Ben|he|him|his|boy",
                                               "Anna|she|her|her|girl", "Max|he|him|his|boy",   "Sara|she|her|her|girl",  "Leo|he|him|his|boy",
                                               "Nora|she|her|her|girl", "Jack|he|him|his|boy",  "Ella|she|her|her|girl",  "Finn|he|him|his|boy",
                                               "Ruby|she|her|her|girl", "Oscar|he|him|his|boy", "Clara|she|her|her|girl", "Hugo|he|him|his|boy",
                                               "Ivy|she|her|her|girl",  "Theo|he|him|his|boy",  "Molly|she|her|her|girl", "Peter|he|him|his|boy"}},
    {"friend",
     4,
     {"he", "him", "his"},
     {"Emma|she|her|her", "Noah|he|him|his", "Kate|she|her|her", "Luke|he|him|his", "Grace|she|her|her", "Paul|he|him|his", "Amy|she|her|her",
      "Dan|he|him|his", "Jane|she|her|her", "Eric|he|him|his", "Lucy|she|her|her", "Mark|he|him|his", "Tina|she|her|her", "Carl|he|him|his"}},
    {"elder",
     2,
     {"he", "him", "his"},
     {"mother|she|her|her", "father|he|him|his", "grandmother|she|her|her", "grandfather|he|him|his", "aunt|she|her|her", "uncle|he|him|his",
      "teacher|she|her|her", "neighbor|he|him|his"}},
    {"animal",
     3,
     {"noise"},
     {"dog|Woof", "cat|Meow", "duck|Quack", "cow|Moo", "sheep|Baa", "frog|Croak", "bird|Tweet", "mouse|Squeak", "horse|Neigh", "pig|Oink", "owl|Hoot",
      "bee|Buzz", "hen|Cluck", "snake|Hiss", "lion|Roar", "goat|Maa"}},
    {"nickname", 3, {}, {"Spot", "Fluffy", "Biscuit", "Button", "Pepper", "Sunny", "Cookie", "Shadow", "Pebble", "Honey", "Lucky", "Star"}},
    {"color", 1, {}, {"red", "blue", "green", "yellow", "purple", "orange", "white", "black", "pink", "brown", "gray", "golden"}},
    {"thing", 2, {}, {"ball", "hat",  "kite",  "boat", "drum", "book",  "doll",   "cup",   "key",     "box",
                      "bell", "coat", "scarf", "lamp", "ring", "robot", "puzzle", "spoon", "blanket", "basket"}},
    {"junk",
     3,
     {},
     {"shoe", "stick", "bottle", "leaf", "bone", "sock", "rope", "pot", "wheel", "newspaper", "glove", "umbrella", "nail", "feather", "rag",
      "bucket"}},
    {"look",
     1,
     {},
     {"old", "big", "little", "new", "shiny", "tiny", "soft", "heavy", "lovely", "strange", "wooden", "round", "ugly", "dusty", "broken", "empty"}},
    {"trait",
     2,
     {},
     {"kind", "brave", "curious", "clever", "shy", "cheerful", "gentle", "quiet", "funny", "careful", "stubborn", "lazy", "proud", "patient",
      "friendly", "polite"}},
    {"place",
     2,
     {"the"},
     {"in a small village|the village", "near the sea|the sea", "beside a forest|the forest", "on a farm|the farm", "in a big city|the city",
      "on a high hill|the hill", "by a river|the river", "in a deep valley|the valley", "under a mountain|the mountain", "on an island|the island"}},
    {"weather",
     1,
     {"now"},
     {"sunny|the sun was shining", "rainy|the rain was falling", "windy|the wind was blowing", "cloudy|gray clouds covered the sky",
      "snowy|the snow was white and deep", "foggy|the fog was thick", "stormy|thunder rolled far away", "frosty|there was ice on the windows"}},
    {"time", 1, {}, {"morning", "afternoon", "day", "evening"}},
    {"day", 4, {}, {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}},
    {"room",
     1,
     {},
     {"under the bed", "behind the door", "in the kitchen", "on the shelf", "inside the closet", "under the table", "behind the curtain",
      "on the stairs", "in the attic", "beside the stove"}},
    {"yard",
     1,
     {},
     {"in the garden", "near the pond", "behind the big tree", "beside the fence", "in the barn", "on the roof", "under the bench", "at the gate",
      "along the path", "in the tall grass"}},
    {"age", 2, {}, {"little", "young", "small", "tall"}},
    {"sad", 1, {}, {"sad", "worried", "upset", "lonely", "unhappy", "gloomy", "tired", "angry"}},
    {"happy", 1, {}, {"happy", "glad", "pleased", "excited", "thankful", "joyful", "merry", "delighted"}},
    {"softly", 1, {}, {"softly", "quickly", "quietly", "slowly", "loudly", "gladly", "kindly", "bravely"}},
    {"said", 1, {}, {"said", "shouted", "whispered", "answered", "laughed", "called", "sang", "cried"}},
    {"fruit",
     2,
     {},
     {"apples", "pears", "plums", "cherries", "berries", "nuts", "shells", "stones", "flowers", "feathers", "eggs", "mushrooms", "acorns", "lemons"}},
    {"number", 3, {}, {"three", "two", "four", "five", "six", "seven", "eight", "nine"}},
    {"powder", 2, {}, {"flour", "sugar", "rice", "salt", "cocoa", "oats"}},
    {"liquid", 2, {}, {"milk", "water", "cream", "oil", "juice", "broth"}},
    {"extra", 2, {}, {"butter", "honey", "cheese", "jam", "garlic", "parsley"}},
    {"trap", 2, {}, {"in a net", "between two rocks", "under a log", "in a rope", "behind a root", "in the mud"}},
    {"meal", 1, {}, {"cake", "soup", "bread", "pie", "pudding", "stew", "pizza", "salad"}},
    {"helper", 2, {}, {"fox", "rabbit", "turtle", "bear", "deer", "squirrel", "hedgehog", "wolf", "goose", "donkey", "badger", "crow"}},
    {"ride", 1, {}, {"bus", "train", "bike", "wagon", "sled", "cart", "ship", "balloon", "ferry", "tram"}},
    {"goal", 2, {}, {"market", "beach", "castle", "museum", "library", "zoo", "park", "lake", "fair", "circus", "harbor", "bakery"}},
    {"game", 1, {}, {"tag", "catch", "chess", "marbles", "cards", "football", "hopscotch", "dominoes"}},
    {"lesson",
     1,
     {},
     {"to share", "to be patient", "to ask for help", "to tell the truth", "to listen", "to keep trying", "to say thank you", "to look twice",
      "to be careful", "to trust a friend"}},
    {"part", 1, {}, {"wheel", "window", "door", "handle", "string", "lid", "flag", "chain", "sail", "ribbon"}},
};

const std::vector<RuleSpec> kRules = {
    {"opener", {{6, "Once upon a time,"}, {2, "Long ago,"}, {1, "Many years ago,"}, {1, "In the old days,"}, {1, "Not very long ago,"}}},
    {"intro", {{1, "[opener] [hero=name] was [trait.a] [age] {hero.kind} who lived [home=place]. "}}},
    {"setting", {{1, "One [weather=weather] [time=time], "}}},
    {"treasure",
     {{3, "Every day {hero.he} played with {hero.his} [look=look] [color=color@hero] [thing=thing@hero]. "},
      {2, "More than anything, {hero.he} loved {hero.his} [look=look] [color=color@hero] [thing=thing@hero]. "},
      {2,
       "For a birthday, {hero.his} [elder=elder] gave {hero.him} [look=look.a] [color=color@hero] "
       "[thing=thing@hero]. "},
      {1, "In {hero.his} bag, {hero.he} always kept [look=look.a] [color=color@hero] [thing=thing@hero]. "}}},
    {"habit",
     {{2, "On [day], {hero.he} liked to play [game=game@hero] with the other children.\n"},
      {2, "Everyone knew that {hero.he} liked the color {color}.\n"},
      {1, "But {hero.he} was often [sad], and nobody knew why.\n"},
      {1, "The people there called {hero.him} \"the {hero.kind} with the {color} {thing}\".\n"}}},

    // A search with a random number of failures, up to three.
    {"search3", {{1, "Then {hero.he} sat down to rest. "}, {1, "Still, they did not give up. "}}},
    {"search2", {{2, "They looked [yard=yard], but found only [look.a] [junk]. [search3]"}, {3, "Still, they did not give up. "}}},
    {"search",
     {{2, "They looked [yard=yard], but found only [look.a] [junk]. [search2]"},
      {1, "First they asked {hero.his} [elder=elder], but {elder.he} had not seen it. [search2]"},
      {1, "Soon it was getting dark. "}}},

    // Sums that can be computed from the text.
    {"gift",
     {{2,
       "They gave all {n+m} {fruit} to {hero.his} [elder=elder]. \"{^n+m} {fruit}!\" {elder.he} [said]. \"How [happy] "
       "I am!\"\n"},
      {1,
       "On the way home, they met [helper=helper.a]. The {helper} was hungry, so they gave the {helper} {hero}'s {n} "
       "{fruit} and kept {friend}'s {m}.\n"},
      {1,
       "In the end, {hero} said, \"You can have my {n} {fruit}, {friend}.\" Now {friend} had {n+m}, and {friend.he} "
       "was very [happy].\n"}}},

    {"taming",
     {{2, "Then {hero} gave the {animal} some [extra], and it came closer. "},
      {1, "For a long time, {hero} sat [softly] on the ground and waited. "},
      {1, "\"Do not be afraid,\" {hero} [said]. "}}},
    {"owner",
     {{2, "Nobody was looking for {nickname}, so the {animal} stayed with {hero}. "},
      {1,
       "Then [friend=friend] came running. \"That is my {animal}!\" {friend.he} [said]. \"You can visit {nickname} "
       "every [day=day].\" "},
      {1, "In the evening, {hero.his} [elder=elder] smiled. \"{nickname} may sleep [room=room],\" {elder.he} said. "}}},

    // A list, repeated three times in the same order.
    {"mishap",
     {{2, "But there was no {f2} left! {hero} [softly] went to [friend=friend], who had some {f2} to share. "},
      {1, "The {f1} fell on the floor, and {hero} had to begin again. "},
      {1, "It took a long time, and {hero} felt [sad]. "}}},

    {"sight",
     {{2, "There they saw [n=number] [color] birds"},
      {1, "There was [helper=helper.a] with a [color] hat"},
      {1, "Right at the gate, a man sold [color] balloons"}}},
    {"trouble",
     {{2, "On the way, a [part=part] of the {ride} broke. \"I can fix the {part},\" {hero} [said], and {hero.he} did. "},
      {1, "The {ride} was very slow, so they played [game=game@hero]. "},
      {1, "Soon [friend=friend] came along, and {friend.he} sang [softly] all the way to the {goal}. "}}},

    {"plot",
     {{4,
       "{hero} could not find the {color} {thing}. {^hero.he} looked [room=room], but it was not there. {^hero.he} "
       "felt very [sad=sad]. \"Where is my {thing}?\" {hero.he} [said]. [friend=friend] came by and saw that {hero} "
       "was {sad}. \"I will help you,\" said {friend}. [search]At last, {friend} saw something {color} [yard=yard]. It "
       "was the {thing}! \"Thank you, {friend},\" {hero} [said]. \"I will not leave my {thing} {yard} again.\"\n"},
      {3,
       "{hero} and [friend=friend] went out to look for [fruit=fruit]. They walked [yard=yard] and [softly] filled "
       "their bags. {hero} found [n=number] {fruit}, and {friend} found [m=number]. \"I have only {n},\" said {hero}. "
       "\"And I have {m},\" said {friend}. \"Together we have {n+m} {fruit}!\" [gift]"},
      {3,
       "{hero} met [look.a] [animal=animal] [yard=yard]. \"{animal.noise}!\" said the {animal}. It looked [sad=sad]. "
       "[taming]\"{animal.noise}, {animal.noise}!\" said the {animal}. It was not {sad} any more. \"I will call you "
       "[nickname=nickname],\" said {hero}. [owner]They played with the {thing}, and {nickname} was [happy]. "
       "\"{animal.noise}!\" said {nickname}.\n"},
      {2,
       "{hero} wanted to make [meal=meal] with {hero.his} [elder=elder]. \"We need [f1=powder], [f2=liquid] and "
       "[f3=extra],\" said {hero.his} {elder}. So {hero} went to the kitchen and looked for {f1}, {f2} and {f3}. "
       "[mishap]{^hero.he} put the {f1}, the {f2} and the {f3} into [look.a] [color] pot. Soon the {meal} was ready. "
       "\"This is the best {meal} in the world,\" {hero.his} {elder} [said]. {^elder.he} was very [happy].\n"},
      {2,
       "{hero} went to the [goal=goal] by [ride=ride] with {hero.his} [elder=elder]. [trouble]At last the {ride} came "
       "to the {goal}. [sight], and {hero} wanted to stay for [m=number] days. But {hero.his} {elder} said, \"We must "
       "take the {ride} home on [day=day].\" So on {day} they said goodbye to the {goal}. {hero} bought [fruit=fruit] "
       "for everyone at home.\n"},
      {1,
       "{hero} heard a cry [yard=yard]. It was [helper=helper.a], and its leg was caught [trap]! \"Please help me,\" "
       "the {helper} [said]. {hero} was [sad=sad], but {hero.he} [softly=softly] pulled, and the {helper} was free. "
       "\"You are [trait], {hero},\" said the {helper}. \"Take [n=number] {color} stones as a gift.\" {hero} put the "
       "{n} stones next to the {thing}. {^hero.he} was not {sad} any more.\n"}}},
    {"sleep",
     {{2, "That night, {hero} slept well with the {color} {thing} beside {hero.him}.\n"},
      {1, "Before bed, {hero} told {hero.his} [elder] all about it.\n"},
      {1, "Now everyone from {home.the} knows the story of {hero} and the {color} {thing}.\n"}}},
    {"ending",
     {{3, "Outside {weather.now}, and {hero} was [happy]. {^hero.he} had learned [lesson=lesson]. [sleep]"},
      {2, "When {hero.he} came home, {weather.now}. \"Today I learned [lesson=lesson],\" {hero.he} [said]. [sleep]"},
      {1, "The {weather} {time} was over. [sleep]"}}},
    {"story", {{1, "[intro][treasure][habit][setting][plot][ending]"}}},
};

}  // namespace

const Grammar& story_grammar() {
  static const Grammar grammar(kTables, kRules);
  return grammar;
}

}  // namespace lapilli
