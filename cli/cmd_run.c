/* `cofre run`: becomes cofre-runtime (host/), which understands the options. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/run_layer.h"

static const char usage[] =
    "Usage: cofre run [OPTIONS] IMAGE [-- ARGUMENTS]\n\n"
    "Runs a confidential image in an enclave on this machine. What the host may choose is up to the measured "
    "policy.\n\n"
    "  -p, --publish [IP:]HOSTPORT:PORT[/udp]  where PORT of the container is reached on this machine\n"
    "  -v, --volume NAME:PATH[:ro][,key=FILE][,rekey]  the volume NAME is what the policy wants at PATH (policy: "
    "volumes)\n"
    "  -v, --volume FOLDER:PATH[:ro]  a folder of this machine, in the clear, where the policy has it (host_folders)\n"
    "  -e, --env NAME[=VALUE]    set an environment variable (policy: env.allow)\n"
    "      --env-file FILE       the same, from lines of a file\n"
    "  -w, --workdir DIR         working directory (policy: command.workdir_from_host)\n"
    "  -u, --user USER[:GROUP]   user (policy: command.user_from_host)\n"
    "      --hostname NAME       host name (policy: from_host.hostname)\n"
    "      --name NAME           a name for this container (cofre ps), used by no other\n"
    "  -i, --interactive         connect standard input\n"
    "  -t, --tty                 standard input and output are a terminal\n"
    "      --image-key FILE      key of an encrypted image (policy: root.key)\n"
    "      --marble FILE         MarbleRun's certificate for this container (policy: anchor)\n"
    "      --vcpus N             run on at most N CPUs\n"
    "      --sgx, --softsgx      insist on hardware, or on the software enclave (which protects nothing)\n"
    "      --stats[=json:FILE]   print enclave exits, system calls and memory at the end (policy: diagnostics)\n"
    "      --log LEVEL           kernel messages: error, warning, info, debug (policy: diagnostics)\n"
    "      --trace               print system calls (policy: diagnostics)\n\n"
    "Exit status: the command's own; 128 + N if signal N ended it; 125 if cofre failed; 126, 127 if the command\n"
    "cannot be invoked or found.";

/* Options of cofre-runtime that take their value from the next argument. */
static int takes_value(const char *option)
{
    static const char *const options[] = {"-p",        "--publish",   "-e",       "--env",   "--env-file", "-w",
                                          "--workdir", "-u",          "--user",   "--vcpus", "--hostname", "--name",
                                          "--log",     "--image-key", "--marble", "-v",      "--volume"};
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        if (strcmp(option, options[i]) == 0)
            return 1;
    return 0;
}

static int run_image(const char *image, int option_count, char **options, int argument_count, char **arguments)
{
    char *error = NULL;
    run_layer(image, option_count, options, argument_count, arguments, &error);
    return command_failed("running the image", error);
}

int cmd_run(int argc, char **argv)
{
    int i = 1;
    while (i < argc && argv[i][0] == '-' && strcmp(argv[i], "--") != 0) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            puts(usage);
            return 0;
        }
        i += takes_value(argv[i]) ? 2 : 1;
    }
    if (i >= argc || strcmp(argv[i], "--") == 0)
        return command_usage("run", "an IMAGE is wanted");
    const char *image = argv[i];
    int rest = i + 1;
    if (rest < argc && strcmp(argv[rest], "--") == 0)
        rest++;
    return run_image(image, i - 1, argv + 1, argc - rest, argv + rest);
}
