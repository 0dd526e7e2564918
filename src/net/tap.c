#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/if_tun.h>

#include "base/fd.h"
#include "net/net.h"
#include "net/rt.h"

struct tap_request {
	const char *name;
	int fd;
};

/* The device belongs to the namespace that opens it. */
static int make_tap(void *arg, struct err *e)
{
	struct tap_request *t = arg;
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	AUTO_FD int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_sys(e, "cannot open '/dev/net/tun'");
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", t->name);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return err_sys(e, "cannot make tap link '%s'", t->name);
	t->fd = fd_take(&fd);
	return 0;
}

int net_tap_open(int netns_fd, const char *name, const char *bridge, struct err *e)
{
	AUTO_NL struct nl nl = NL_INIT;
	AUTO_NL_BATCH struct nl_batch b = {0};
	AUTO_FD int fd = -EBADF;
	struct tap_request t = {.name = name, .fd = -1};
	struct rt_info tap, master = {0};

	if (!*name || strlen(name) >= IFNAMSIZ)
		return err_set(e, EINVAL, "'%.40s' is not a name for an interface", name);
	if (nl_in_netns(netns_fd, make_tap, &t, e) < 0)
		return -e->code;
	fd = t.fd;
	if (nl_open(&nl, NETLINK_ROUTE, netns_fd, e) < 0 ||
		rt_link_get(&nl, 0, name, &tap, e) < 0 ||
		(bridge && rt_link_get(&nl, 0, bridge, &master, e) < 0))
		return -e->code;
	rt_link_set(&b, tap.index, &(struct rt_link){.up = true, .master = master.index});
	if (nl_exec(&nl, &b, e) < 0)
		return -e->code;
	return fd_take(&fd);
}
