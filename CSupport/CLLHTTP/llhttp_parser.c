// llhttp's generated state machine as Debian's package node-llhttp installs it, in its strict form.
#define LLHTTP_STRICT_MODE 1
#include "/usr/share/llhttp/llhttp.c"
