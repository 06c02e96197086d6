# Completion of mcpoolctl for bash: commands, options, and the names of the servers that the daemon has at the moment.
# Source this file, or install it as mcpoolctl below /usr/share/bash-completion/completions.
# shellcheck shell=bash

_mcpoolctl() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local command='' named='' i word
    local -a where=() words=()
    COMPREPLY=()

    # What stands before the cursor: the command, a name after it, and how to find the daemon.
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
        -s | --socket | -c | --config)
            [[ $((i + 1)) -lt $COMP_CWORD ]] || break
            where+=("$word" "${COMP_WORDS[i + 1]/#\~\//$HOME/}")
            i=$((i + 1))
            # Readline takes --socket=PATH apart at the "=".
            if [[ ${COMP_WORDS[i]} == = && $((i + 1)) -lt $COMP_CWORD ]]; then
                where[${#where[@]} - 1]=${COMP_WORDS[i + 1]/#\~\//$HOME/}
                i=$((i + 1))
            fi
            ;;
        --all) named=$word ;;
        -n | --count | --interval | --sort | --wait)
            i=$((i + 1))
            [[ ${COMP_WORDS[i]} != = ]] || i=$((i + 1))
            ;;
        -* | =) ;;
        *) if [[ -z $command ]]; then command=$word; else named=$word; fi ;;
        esac
    done

    if [[ $cur == = ]]; then
        cur=''
        prev=${COMP_WORDS[COMP_CWORD - 1]}
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $prev in
    -s | --socket | -c | --config)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    --watch)
        [[ $prev == "${COMP_WORDS[COMP_CWORD - 1]}" ]] || return
        ;;
    --sort)
        mapfile -t COMPREPLY < <(compgen -W 'name rate running waiting latency health' -- "$cur")
        return
        ;;
    -n | --count | --interval | --wait) return ;;
    esac

    if [[ $cur == -* ]]; then
        words=(--socket --config --help)
        case $command in
        '') words+=(--version) ;;
        status) words+=(--json --watch --names) ;;
        recover) words+=(--json --all) ;;
        top) words+=(--count --once --interval --sort) ;;
        explain | drain | maint | resume | restart | log-level) words+=(--json) ;;
        logs) words+=(--json --follow) ;;
        reload) words+=(--json --dry-run) ;;
        check) words=(--help) ;;
        connect) words+=(--wait) ;;
        esac
    elif [[ -z $command ]]; then
        words=(status top recover explain logs drain maint resume restart reload check log-level connect metrics)
    elif [[ -z $named && $command == check ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
    elif [[ -z $named && $command == log-level ]]; then
        words=(debug info notice warning error critical)
    elif [[ -z $named && $command =~ ^(status|top|recover|explain|logs|drain|maint|resume|restart|connect)$ ]]; then
        mapfile -t words < <("${COMP_WORDS[0]}" status --names "${where[@]}" 2>/dev/null)
        [[ $command != recover ]] || words+=(--all)
    fi
    # Names hold nothing that the shell or IFS could take for something else.
    mapfile -t COMPREPLY < <(compgen -W "${words[*]}" -- "$cur")
}

complete -F _mcpoolctl mcpoolctl
