# bash completion for cofre
_cofre() {
    local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]-} options=
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W 'convert run ps exec inspect measure sign keygen quote simulation gdb check collateral verify maa ra-tls key-server volume --help --version' -- "$word")
        return
    fi
    case $command in
    convert) options='--policy --key --unsigned --encrypt --image-key --wrapped-key --name --force --max-size --max-ratio --quiet --help' ;;
    run) options='--publish --volume --env --env-file --workdir --user --hostname --name --image-key --marble --interactive --tty --vcpus --sgx --softsgx
        --stats --log --trace --help' ;;
    inspect | check) options='--json --help' ;;
    ps) options='--quiet --json --help' ;;
    exec)
        options='--interactive --tty --env --workdir --user --help'
        if [ "$COMP_CWORD" -eq 2 ] && [[ $word != -* ]]; then
            mapfile -t COMPREPLY < <(compgen -W "$(cofre ps --quiet 2>/dev/null)" -- "$word")
            return
        fi
        ;;
    measure) options='--json --kernel --policy --sigstruct --help' ;;
    sign) options='--key --export --import --public-key --product --svn --help' ;;
    gdb) options='--sysroot --ex --batch --pid --help' ;;
    keygen) options='--help' ;;
    quote) options='--report-data --output --sgx --softsgx --help' ;;
    simulation) options='provision export --help' ;;
    volume) options='ls rm create info check dump extract tar resize snapshot clone send receive mount unmount import accept-rollback add-key remove-key rekey keygen derive --anchor --anchor-key --anchor-certificate --marble --marble-key --local-anchor --confirm --key-file --recovery-key --recovery --passphrase-file --size --name --inode --output
        --snapshot --from
        --stream-key-file --new-key-file --force --foreground --json --quiet --help' ;;
    collateral) options='fetch bundle show check --quote --root --fmspc --pck-ca --tdx --url --api --ca --api-key-file --root-crl-url --early
        --evaluation --timeout --cache --no-cache --max-age --json --time --help' ;;
    verify) options='--policy --dry-run --report-data --collateral --url --ca --cache --offline --root --keys --time --json --help' ;;
    ra-tls) options='connect serve certificate show --listen --quote-device --quote-command --quote --key --curve --name --gramine
        --renew --policy --collateral --url --ca --cache --no-cache --offline --root --time --help' ;;
    key-server) options='--listen --key --collateral --url --ca --cache --no-cache --offline --root --time --help' ;;
    maa) options='--url --ca --bearer-file --keys --runtime-data --runtime-json --nonce --token --token-out --time --json --help' ;;
    esac
    case $word in
    -*) mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word") ;;
    *) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    esac
}
complete -o filenames -F _cofre cofre
