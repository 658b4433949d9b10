#ifndef COFRE_CLI_VERSION_H
#define COFRE_CLI_VERSION_H
#ifndef COFRE_VERSION
#error "the build defines COFRE_VERSION"
#endif
#endif
