/* A calculator that takes its operators last: what the recorded build builds. */
void push(long value);
long pop(void);
int word(char *to, int size);
