/*
 * config-linux.md "Network Devices": host interfaces move into the container's network
 * namespace, with their permanent global addresses, and are set up there.  They are not moved
 * back: the kernel returns physical ones to the host when the namespace ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "oci/internal.h"
#include "oci/netdev_msg.h"

enum { ADDRESSES_MAX = 64 };

struct address {
	uint8_t family, prefix, n;
	uint8_t bytes[16];
};

struct move {
	const struct spec_net_device *d;
	unsigned int index; /* on the host; after the move, inside */
	struct address addresses[ADDRESSES_MAX];
	size_t n;
};

/* Permanent, of global scope; what a router or DHCP gave for a while stays behind. */
static void keep_address(const struct nlmsghdr *h, void *data)
{
	const struct ifaddrmsg *ifa = NLMSG_DATA(h);
	struct move *m = data;
	uint32_t flags;
	const struct rtattr *local = NULL, *address = NULL;
	struct address *to = &m->addresses[m->n];
	int left = (int)h->nlmsg_len - (int)NLMSG_LENGTH(sizeof(*ifa));

	if (left < 0 || h->nlmsg_type != RTM_NEWADDR)
		return;
	flags = ifa->ifa_flags;
	for (const struct rtattr *a = IFA_RTA(ifa); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == IFA_FLAGS && RTA_PAYLOAD(a) == sizeof(flags))
			memcpy(&flags, RTA_DATA(a), sizeof(flags));
		if (a->rta_type == IFA_LOCAL)
			local = a;
		if (a->rta_type == IFA_ADDRESS)
			address = a;
	}
	address = local ? local : address;
	if (ifa->ifa_index != m->index || ifa->ifa_scope != RT_SCOPE_UNIVERSE || !(flags & IFA_F_PERMANENT) || !address ||
		m->n == ADDRESSES_MAX || RTA_PAYLOAD(address) > sizeof(to->bytes))
		return;
	*to = (struct address){ifa->ifa_family, ifa->ifa_prefixlen, (uint8_t)RTA_PAYLOAD(address), {0}};
	memcpy(to->bytes, RTA_DATA(address), to->n);
	m->n++;
}

static int read_addresses(struct move *m, struct err *e)
{
	struct nl_msg msg;
	int r;

	nl_begin(&msg, RTM_GETADDR, NLM_F_DUMP, sizeof(struct ifaddrmsg));
	r = nl_talk(&msg, keep_address, m);
	return r < 0 ? err_set(e, -r, "linux.netDevices: cannot read the addresses of '%s': %s",
			       m->d->host_name, strerrordesc_np(-r))
		     : 0;
}

static int send_away(const struct move *m, int netns, struct err *e)
{
	const char *name = m->d->name ? m->d->name : m->d->host_name;
	struct nl_msg msg;
	struct ifinfomsg *ifi = nl_begin(&msg, RTM_NEWLINK, NLM_F_ACK, sizeof(*ifi));
	int r;

	ifi->ifi_index = (int)m->index;
	nl_put(&msg, IFLA_NET_NS_FD, &netns, sizeof(netns));
	nl_put(&msg, IFLA_IFNAME, name, strlen(name) + 1);
	r = nl_talk(&msg, NULL, NULL);
	return r < 0 ? err_set(e, -r,
			       "linux.netDevices: cannot move '%s' into the container as '%s': %s",
			       m->d->host_name, name, strerrordesc_np(-r))
		     : 0;
}

static int add_address(const struct move *m, const struct address *a)
{
	struct nl_msg msg;
	struct ifaddrmsg *ifa = nl_begin(&msg, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, sizeof(*ifa));

	*ifa = (struct ifaddrmsg){
		.ifa_family = a->family, .ifa_prefixlen = a->prefix, .ifa_index = m->index};
	nl_put(&msg, IFA_LOCAL, a->bytes, a->n);
	nl_put(&msg, IFA_ADDRESS, a->bytes, a->n);
	return nl_talk(&msg, NULL, NULL);
}

static int set_up(const struct move *m)
{
	struct nl_msg msg;
	struct ifinfomsg *ifi = nl_begin(&msg, RTM_NEWLINK, NLM_F_ACK, sizeof(*ifi));

	ifi->ifi_index = (int)m->index;
	ifi->ifi_flags = ifi->ifi_change = IFF_UP;
	return nl_talk(&msg, NULL, NULL);
}

/* The one that was not there before: its name may be a template, and its index another. */
static unsigned int find_new(const struct if_nameindex *before)
{
	struct if_nameindex *now = if_nameindex();
	unsigned int found = 0;

	for (size_t i = 0; now && now[i].if_index && !found; i++) {
		size_t j = 0;

		while (before[j].if_index && before[j].if_index != now[i].if_index)
			j++;
		if (!before[j].if_index)
			found = now[i].if_index;
	}
	if (now)
		if_freenameindex(now);
	return found;
}

/* In the container's namespace; own is the way back for a moment. */
static int arrive(struct move *m, int own, int netns, struct err *e)
{
	struct if_nameindex *before = if_nameindex();
	int r = 0;

	if (!before)
		return err_sys(e, "linux.netDevices: cannot list the container's interfaces");
	if (setns(own, CLONE_NEWNET) < 0)
		r = err_sys(e, "cannot return to the host's network");
	if (!r)
		r = send_away(m, netns, e);
	if (setns(netns, CLONE_NEWNET) < 0 && !r)
		r = err_sys(e, "cannot enter the container's network");
	if (!r)
		m->index = find_new(before);
	if_freenameindex(before);
	for (size_t i = 0; !r && i < m->n; i++)
		r = add_address(m, &m->addresses[i]);
	if (!r)
		r = set_up(m);
	return r < 0 && !e->code
		       ? err_set(e, -r, "linux.netDevices: cannot set '%s' up in the container: %s",
				 m->d->host_name, strerrordesc_np(-r))
		       : r;
}

static int move_one(const struct spec_net_device *d, int own, int netns, struct err *e)
{
	struct move m = {.d = d, .index = if_nametoindex(d->host_name)};
	int r;

	if (!m.index)
		return err_set(
			e, ENODEV, "linux.netDevices: there is no interface '%s'", d->host_name);
	if (read_addresses(&m, e) < 0)
		return -e->code;
	if (setns(netns, CLONE_NEWNET) < 0)
		return err_sys(e, "linux.netDevices: cannot enter the container's network");
	r = arrive(&m, own, netns, e);
	if (setns(own, CLONE_NEWNET) < 0)
		return err_sys(e, "cannot return to the host's network");
	return r;
}

int net_devices_move(const struct spec *spec, pid_t pid, struct err *e)
{
	const struct spec_linux *l = &spec->linux;
	AUTO_FD int own = -1, netns = -1;
	char path[48];

	if (!l->n_net_devices)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	netns = open(path, O_RDONLY | O_CLOEXEC);
	if (own < 0 || netns < 0)
		return err_sys(e, "linux.netDevices: cannot open the container's network");
	for (size_t i = 0; i < l->n_net_devices; i++)
		if (move_one(&l->net_devices[i], own, netns, e) < 0)
			return -e->code;
	return 0;
}
