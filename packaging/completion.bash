# Completes the commands, options and values of looplm in bash. It asks the program's own --help, so that it knows every option.
_looplm_help() { "$1" "${@:2}" --help 2>/dev/null; }

_looplm() {
  local program=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local -a commands=()
  local help i names
  help=$(_looplm_help "$program")
  for ((i = 1; i < COMP_CWORD; ++i)); do
    names=$(sed -n 's/^  \([a-z][a-z-]*\).*/\1/p' <<<"$help")
    grep -qxF -e "${COMP_WORDS[i]}" <<<"$names" || break
    commands+=("${COMP_WORDS[i]}")
    help=$(_looplm_help "$program" "${commands[@]}")
  done

  local choices="" values
  # One of a list, which help shows as "--option {a,b}".
  if [[ $previous == -* ]]; then
    values=$(sed -nE "s/^  ([^ ]*,)?${previous}(,[^ ]*)? \{([^}]*)\}.*/\3/p" <<<"$help" | tr ',' ' ')
    [ -n "$values" ] && choices=$values
  fi
  if [ -z "$choices" ]; then
    if [[ $word == -* ]]; then
      choices=$(grep -oE '^  (-[A-Za-z],)?--[a-z][a-z-]*' <<<"$help" | grep -oE -- '--[a-z-]+')
    else
      choices=$(sed -n 's/^  \([a-z][a-z-]*\).*/\1/p' <<<"$help")
    fi
  fi
  COMPREPLY=($(compgen -W "$choices" -- "$word"))
}
complete -o default -F _looplm looplm
