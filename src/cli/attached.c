#include "cli/attached.h"

#include <sys/ioctl.h>
#include <unistd.h>

bool attached_is_tty(void)
{
	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

void attached_size(uint16_t *ret_rows, uint16_t *ret_cols)
{
	struct winsize w = {0};

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 && ioctl(STDIN_FILENO, TIOCGWINSZ, &w) < 0)
		w = (struct winsize){0};
	*ret_rows = w.ws_row;
	*ret_cols = w.ws_col;
}

int attached_loop(struct jail_attach *a, const char *name, const char *detach_keys, struct err *e)
{
	const struct jail_attach_opts o = {
		.in_fd = STDIN_FILENO, .out_fd = STDOUT_FILENO, .detach_keys = detach_keys};
	int code = 0;
	int r = jail_attach_loop(a, &o, &code, e);

	if (r < 0)
		return r;
	if (r == JAIL_ATTACH_EXITED)
		return code;
	if (name)
		cli_warn("detached; 'jail console %s' attaches again", name);
	return 0;
}
