#include "reckon.h"
#include <ctype.h>
#include <stdio.h>

int word(char *to, int size)
{
    int c = getchar(), n = 0;
    while (isspace(c)) {
        c = getchar();
    }
    for (; c != EOF && !isspace(c) && n < size - 1; c = getchar()) {
        to[n++] = (char)c;
    }
    to[n] = 0;
    return n;
}
