# Completion of mcpoold for bash: options, files and log levels.
# Source this file, or install it as mcpoold below /usr/share/bash-completion/completions.
# shellcheck shell=bash

_mcpoold() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()

    # Readline takes --config=FILE apart at the "=".
    if [[ $cur == = ]]; then
        cur=''
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $prev in
    -c | --config)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        ;;
    -l | --log-level)
        mapfile -t COMPREPLY < <(compgen -W 'debug info notice warning error critical' -- "$cur")
        ;;
    *)
        mapfile -t COMPREPLY < <(compgen -W '--config --check --config-reference --config-manual --log-level --version
            --help' -- "$cur")
        ;;
    esac
}

complete -F _mcpoold mcpoold
