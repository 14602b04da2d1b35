#include "reckon.h"
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    char text[32];
    while (word(text, sizeof text)) {
        if (text[0] == '+') {
            push(pop() + pop());
        } else if (text[0] == 'x') {
            push(pop() * pop());
        } else {
            push(strtol(text, NULL, 10));
        }
    }
    printf("%ld\n", pop());
    return 0;
}
