/* A stand-in for luet, cosign, luet-cosign: a real static ELF program of the right name that does nothing but say so. */
#include <stdio.h>

int main(int argc, char **argv)
{
    (void)argc;
    fprintf(stderr, "%s: stand-in, does nothing\n", argv[0]);
    return 2;
}
