#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

/* Reads decimal digits at *s; returns -ERANGE on wrap-around, -EINVAL when there are none. */
static int digits(const char **s, uint64_t *ret)
{
	uint64_t v = 0;
	const char *p = *s;

	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	for (; isdigit((unsigned char)*p); p++)
		if (__builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return -ERANGE;
	*s = p;
	*ret = v;
	return 0;
}

static int bad(struct err *e, const char *s, const char *expected)
{
	AUTO_FREE char *shown = str_visible(s);

	return err_set(e, EINVAL, "'%.64s' is not %s", shown, expected);
}

int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret_value, struct err *e)
{
	const char *p = s;
	uint64_t v;
	int r = digits(&p, &v);

	if (r == -EINVAL || *p)
		return bad(e, s, "a whole number");
	if (r < 0 || v < min || v > max)
		return err_set(e, ERANGE, "'%.64s' is out of range; expected %" PRIu64 " to %" PRIu64, s, min, max);
	*ret_value = v;
	return 0;
}

int parse_i64(const char *s, int64_t min, int64_t max, int64_t *ret_value, struct err *e)
{
	const char *p = *s == '-' ? s + 1 : s;
	uint64_t v;
	int64_t value;
	int r = digits(&p, &v);

	if (r == -EINVAL || *p)
		return bad(e, s, "a whole number");
	if (r < 0 || v > INT64_MAX)
		return err_set(e, ERANGE, "'%.64s' is out of range", s);
	value = *s == '-' ? -(int64_t)v : (int64_t)v;
	if (value < min || value > max)
		return err_set(e, ERANGE, "'%.64s' is out of range; expected %" PRId64 " to %" PRId64, s, min, max);
	*ret_value = value;
	return 0;
}

int parse_mode(const char *s, mode_t *ret_mode, struct err *e)
{
	mode_t v = 0;
	const char *p = s;

	for (; *p >= '0' && *p <= '7' && v <= 07777; p++)
		v = v * 8 + (mode_t)(*p - '0');
	if (p == s || *p || v > 07777)
		return bad(e, s, "an octal file mode such as 0755");
	*ret_mode = v;
	return 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static int with_unit(const char *s, const struct unit *units, size_t n, uint64_t *ret)
{
	const char *p = s;
	uint64_t v;
	int r = digits(&p, &v);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (!strcasecmp(p, units[i].name)) {
			if (__builtin_mul_overflow(v, units[i].factor, &v) || v == UINT64_MAX)
				return -ERANGE;
			*ret = v;
			return 0;
		}
	return -EINVAL;
}

int parse_size(const char *s, uint64_t *ret_bytes, struct err *e)
{
	static const struct unit units[] = {{"", 1}, {"b", 1}, {"k", 1ull << 10}, {"kb", 1ull << 10},
		{"kib", 1ull << 10}, {"m", 1ull << 20}, {"mb", 1ull << 20}, {"mib", 1ull << 20},
		{"g", 1ull << 30}, {"gb", 1ull << 30}, {"gib", 1ull << 30}, {"t", 1ull << 40},
		{"tb", 1ull << 40}, {"tib", 1ull << 40}};
	int r;

	if (!strcmp(s, "max") || !strcmp(s, "unlimited")) {
		*ret_bytes = PARSE_UNLIMITED;
		return 0;
	}
	r = with_unit(s, units, ARRAY_SIZE(units), ret_bytes);
	if (r == -ERANGE)
		return err_set(e, ERANGE, "size '%.64s' is too large", s);
	return r < 0 ? bad(e, s, "a size such as 512M, 2G or max") : 0;
}

int parse_duration_ms(const char *s, uint64_t *ret_ms, struct err *e)
{
	static const struct unit units[] = {{"ms", 1}, {"", 1000}, {"s", 1000}, {"m", 60000},
		{"min", 60000}, {"h", 3600000}, {"d", 86400000}};
	int r = with_unit(s, units, ARRAY_SIZE(units), ret_ms);

	if (r == -ERANGE)
		return err_set(e, ERANGE, "duration '%.64s' is too long", s);
	return r < 0 ? bad(e, s, "a duration such as 500ms, 10s, 5m or 2h") : 0;
}

int parse_bool(const char *s, bool *ret_value, struct err *e)
{
	static const char *const words[][2] = {{"yes", "no"}, {"true", "false"}, {"on", "off"}, {"1", "0"}};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		for (int no = 0; no < 2; no++)
			if (!strcmp(s, words[i][no])) {
				*ret_value = !no;
				return 0;
			}
	return bad(e, s, "yes or no");
}

int parse_id(const char *s, uint32_t *ret_id, struct err *e)
{
	const char *p = s;
	uint64_t v;
	int r = digits(&p, &v);

	if (r == -EINVAL || *p)
		return bad(e, s, "a numeric id");
	if (r < 0 || v >= UINT32_MAX)
		return err_set(e, ERANGE, "id '%.64s' is out of range; expected 0 to 4294967294", s);
	*ret_id = (uint32_t)v;
	return 0;
}

int parse_milli(const char *s, uint64_t *ret_milli, struct err *e)
{
	const char *p = s;
	uint64_t whole, part = 0;
	int scale = 100;

	if (digits(&p, &whole) < 0 || whole > UINT32_MAX)
		return bad(e, s, "a number such as 2 or 0.5");
	if (*p == '.')
		for (p++; isdigit((unsigned char)*p) && scale; p++, scale /= 10)
			part += (uint64_t)((*p - '0') * scale);
	if (*p)
		return bad(e, s, "a number such as 2 or 0.5, with at most three decimals");
	*ret_milli = whole * 1000 + part;
	return 0;
}

int parse_signal(const char *s, int *ret_signal, struct err *e)
{
	const char *name = !strncasecmp(s, "SIG", 3) ? s + 3 : s;
	uint64_t v;

	if (isdigit((unsigned char)*s)) {
		if (parse_u64(s, 1, 64, &v, e) < 0)
			return err_prefix(e, "signal");
		*ret_signal = (int)v;
		return 0;
	}
	for (int i = 1; i < SIGRTMIN; i++)
		if (sigabbrev_np(i) && !strcasecmp(name, sigabbrev_np(i))) {
			*ret_signal = i;
			return 0;
		}
	if (!strncasecmp(name, "RTMIN", 5) && (!name[5] || name[5] == '+') &&
		parse_u64(name[5] ? name + 6 : "0", 0, (uint64_t)(SIGRTMAX - SIGRTMIN), &v, e) == 0) {
		*ret_signal = SIGRTMIN + (int)v;
		return 0;
	}
	return bad(e, s, "a signal; expected a name such as TERM or a number from 1 to 64");
}

int parse_name(const char *what, const char *s, struct err *e)
{
	size_t n = strnlen(s, 65);
	bool ok = n > 0 && n < 65 && isalnum((unsigned char)s[0]) && !((unsigned char)s[0] & 0x80);

	for (size_t i = 0; ok && i < n; i++)
		ok = !((unsigned char)s[i] & 0x80) && (isalnum((unsigned char)s[i]) || strchr("_.-", s[i]));
	if (!ok) {
		AUTO_FREE char *shown = str_visible(s);

		return err_set(e, EINVAL,
			"%s '%.80s' is not valid; use 1 to 64 letters, digits, '_', '.' or '-', starting with a letter or digit",
			what, shown);
	}
	return 0;
}

char *print_size(uint64_t bytes, char buf[static 24])
{
	static const char units[] = " KMGTPE";
	double v = (double)bytes;
	size_t u = 0;

	if (bytes == PARSE_UNLIMITED)
		return memcpy(buf, "max", 4);
	while (v >= 1024 && u < sizeof(units) - 2) {
		v /= 1024;
		u++;
	}
	if (!u)
		snprintf(buf, 24, "%" PRIu64, bytes);
	else
		snprintf(buf, 24, v < 10 && v != (double)(uint64_t)v ? "%.1f%c" : "%.0f%c", v, units[u]);
	return buf;
}
