#include "net/refusals.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>

#include "base/fd.h"
#include "base/json.h"
#include "net/table.h"

#define FILE_NAME "refused.jsonl"
enum { FILE_BYTES_MAX = 1 << 20 };

int refusals_open(struct nl *ret, struct err *e)
{
	AUTO_NL_BATCH struct nl_batch b = {0};
	AUTO_NL struct nl nl = NL_INIT;
	struct nfulnl_msg_config_cmd bind = {.command = NFULNL_CFG_CMD_BIND};
	struct nfulnl_msg_config_mode mode = {
		.copy_range = htonl(128), .copy_mode = NFULNL_COPY_PACKET};
	struct nfgenmsg *g;

	if (nl_open(&nl, NETLINK_NETFILTER, -1, e) < 0)
		return -e->code;
	nl_begin(&b, NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG, 0, "listen to", "refusals");
	g = nl_extra(&b, sizeof(*g));
	g->res_id = htons(TABLE_LOG_GROUP);
	nl_put(&b, NFULA_CFG_CMD, &bind, sizeof(bind));
	nl_put(&b, NFULA_CFG_MODE, &mode, sizeof(mode));
	if (nl_exec(&nl, &b, e) < 0)
		return -e->code;
	*ret = nl;
	nl.socket = NULL;
	return 0;
}

static struct net_addr whole(int family, const uint8_t *p)
{
	struct net_addr a = {.family = (uint8_t)family};

	a.prefix = (uint8_t)(8 * net_addr_size(&a));
	memcpy(a.bytes, p, net_addr_size(&a));
	return a;
}

/* The headers of an IP packet; extension headers of IPv6 leave the port unknown. */
static int read_packet(const uint8_t *p, size_t n, struct refusal *r)
{
	size_t header;

	if (n >= 20 && p[0] >> 4 == 4) {
		header = 4u * (p[0] & 15);
		r->proto = p[9];
		r->from = whole(AF_INET, p + 12);
		r->to = whole(AF_INET, p + 16);
	} else if (n >= 40 && p[0] >> 4 == 6) {
		header = 40;
		r->proto = p[6];
		r->from = whole(AF_INET6, p + 8);
		r->to = whole(AF_INET6, p + 24);
	} else {
		return -EPROTO;
	}
	if ((r->proto == IPPROTO_TCP || r->proto == IPPROTO_UDP) && header >= 20 && n >= header + 4)
		r->port = (uint16_t)(p[header + 2] << 8 | p[header + 3]);
	return 0;
}

int refusal_read(const struct nlmsghdr *h, struct refusal *ret)
{
	const struct nlattr *a[NFULA_PAYLOAD + 1];
	struct refusal r = {0};

	if (h->nlmsg_type != (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET) ||
		h->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(struct nfgenmsg) ||
		nl_attrs(h, sizeof(struct nfgenmsg), a, NFULA_PAYLOAD) < 0 || !a[NFULA_PAYLOAD])
		return -EPROTO;
	r.index = nl_be32(a[NFULA_IFINDEX_INDEV], 0);
	if (read_packet(mnl_attr_get_payload(a[NFULA_PAYLOAD]),
		    mnl_attr_get_payload_len(a[NFULA_PAYLOAD]), &r) < 0)
		return -EPROTO;
	*ret = r;
	return 0;
}

static int append(int dirfd, const struct buf *line, struct err *e)
{
	AUTO_FD int fd = openat(
		dirfd, FILE_NAME, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;
	int r;

	if (fd < 0)
		return err_sys(e, "cannot open '" FILE_NAME "'");
	r = fd_write_full(fd, line->p, line->n);
	if (r < 0)
		return err_set(e, -r, "cannot write '" FILE_NAME "': %s", strerrordesc_np(-r));
	if (!fstat(fd, &st) && st.st_size > FILE_BYTES_MAX)
		renameat(dirfd, FILE_NAME, dirfd, FILE_NAME ".1");
	return 0;
}

static void begin_line(struct buf *b, const char *jail)
{
	buf_addf(b, "{\"time\":%lld,\"jail\":", (long long)time(NULL));
	json_add_string(b, jail);
}

/* What to write in the jail's egress rules. */
static void add_remedy(struct buf *b, const struct refusal *r, const char *to)
{
	AUTO_BUF struct buf rule = {0};
	bool v6 = strchr(to, ':') != NULL;

	buf_addf(&rule, v6 && r->port ? "[%s]" : "%s", to);
	if (r->port)
		buf_addf(&rule, ":%u%s", r->port, r->proto == IPPROTO_UDP ? "/udp" : "");
	buf_adds(b, ",\"allow\":");
	json_add_string(b, rule.p);
	buf_adds(b, "}\n");
}

int refusal_write(
	int dirfd, const struct refusal *r, const char *jail, const char *name, struct err *e)
{
	AUTO_BUF struct buf b = {0};
	char addr[NET_ADDR_TEXT_BYTES];
	const char *proto = r->proto == IPPROTO_TCP   ? "tcp"
			    : r->proto == IPPROTO_UDP ? "udp"
						      : NULL;

	net_addr_print(&r->to, addr);
	begin_line(&b, jail);
	if (proto)
		buf_addf(&b, ",\"protocol\":\"%s\"", proto);
	else
		buf_addf(&b, ",\"protocol\":\"%u\"", r->proto);
	buf_addf(&b, ",\"address\":\"%s\"", addr);
	if (r->port)
		buf_addf(&b, ",\"port\":%u", r->port);
	if (name) {
		buf_adds(&b, ",\"name\":");
		json_add_string(&b, name);
	}
	add_remedy(&b, r, name ? name : addr);
	return append(dirfd, &b, e);
}

int refusal_write_name(int dirfd, const char *jail, const char *name, struct err *e)
{
	AUTO_BUF struct buf b = {0};
	struct refusal none = {0};

	begin_line(&b, jail);
	buf_adds(&b, ",\"protocol\":\"dns\",\"name\":");
	json_add_string(&b, name);
	add_remedy(&b, &none, name);
	return append(dirfd, &b, e);
}
