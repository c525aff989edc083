# WordNet's data files: offset, file, part of speech, number of words (hexadecimal), then word and sense pairs; a bar, and the gloss.
function hex(s, i, n) { n = 0; for (i = 1; i <= length(s); i++) n = 16 * n + index("0123456789abcdef", substr(s, i, 1)) - 1; return n }
/^[0-9]/ {
  words = ""
  count = hex($4)
  for (i = 0; i < count; i++) {
    word = $(5 + 2 * i)
    gsub(/_/, " ", word)
    sub(/\((a|p|ip)\)$/, "", word)
    words = words (i ? ", " : "") word
  }
  gloss = substr($0, index($0, "| ") + 2)
  sub(/ +$/, "", gloss)
  print words ": " gloss
}
