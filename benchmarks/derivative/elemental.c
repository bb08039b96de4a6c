/*
 * A stand-in for the stage runner: "elemental run-stage NAME" applies NAME.before, NAME and NAME.after of every cloud-config file.
 * It reads the narrow YAML that the derivative's own files are written in: two spaces a level, one value a line.
 * Understood in a step: if, environment_file with environment, commands, hostname, users with passwd.
 * Statically linked: the same file runs in the initrd.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE 4096
#define ITEMS 64

static const char *const directories[] = {"/system/oem", "/oem", "/usr/local/cloud-config"};

struct pair {
    char name[256];
    char value[LINE];
};

struct step {
    int used;
    char condition[LINE];
    char environment_file[LINE];
    char hostname[256];
    struct pair environment[ITEMS];
    int environments;
    char commands[ITEMS][LINE];
    int commands_count;
    struct pair users[ITEMS];
    int users_count;
};

static struct step step;
static int failures;

static int shell(const char *command)
{
    return system(command) == 0;
}

static void make_parents(const char *path)
{
    char copy[LINE];
    snprintf(copy, sizeof copy, "%s", path);
    for (char *at = copy + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        mkdir(copy, 0755);
        *at = '/';
    }
}

static void complain(const char *what, const char *about)
{
    fprintf(stderr, "elemental: %s: %s\n", what, about);
    failures++;
}

static void write_environment(void)
{
    make_parents(step.environment_file);
    FILE *out = fopen(step.environment_file, "a");
    if (out == NULL) {
        complain(strerror(errno), step.environment_file);
        return;
    }
    for (int i = 0; i < step.environments; i++)
        fprintf(out, "%s=\"%s\"\n", step.environment[i].name, step.environment[i].value);
    if (fclose(out) != 0)
        complain(strerror(errno), step.environment_file);
}

static void set_password(const struct pair *user)
{
    FILE *out = popen("chpasswd", "w");
    if (out == NULL) {
        complain("cannot run chpasswd for", user->name);
        return;
    }
    fprintf(out, "%s:%s\n", user->name, user->value);
    if (pclose(out) != 0)
        complain("chpasswd failed for", user->name);
}

static void set_hostname(void)
{
    FILE *out = fopen("/etc/hostname", "w");
    if (out == NULL) {
        complain(strerror(errno), "/etc/hostname");
        return;
    }
    fprintf(out, "%s\n", step.hostname);
    fclose(out);
    if (sethostname(step.hostname, strlen(step.hostname)) != 0)
        complain(strerror(errno), "sethostname");
}

static void apply(void)
{
    if (step.used && (step.condition[0] == '\0' || shell(step.condition))) {
        if (step.environment_file[0] != '\0')
            write_environment();
        if (step.hostname[0] != '\0')
            set_hostname();
        for (int i = 0; i < step.commands_count; i++)
            if (!shell(step.commands[i]))
                complain("command failed", step.commands[i]);
        for (int i = 0; i < step.users_count; i++)
            set_password(&step.users[i]);
    }
    memset(&step, 0, sizeof step);
}

/* The value of "key: value", without its quotes. */
static void value_of(const char *text, char *value, size_t size)
{
    size_t length = strlen(text);
    if (length >= 2 && (text[0] == '"' || text[0] == '\'') && text[length - 1] == text[0]) {
        text++;
        length -= 2;
    }
    if (length >= size)
        length = size - 1;
    memcpy(value, text, length);
    value[length] = '\0';
}

static int keyed(const char *line, const char *key, char *value, size_t size)
{
    size_t length = strlen(key);
    if (strncmp(line, key, length) != 0 || line[length] != ':')
        return 0;
    line += length + 1;
    while (*line == ' ')
        line++;
    value_of(line, value, size);
    return 1;
}

static int any_key(const char *line, struct pair *pair)
{
    const char *colon = strchr(line, ':');
    if (colon == NULL || (size_t)(colon - line) >= sizeof pair->name)
        return 0;
    memcpy(pair->name, line, colon - line);
    pair->name[colon - line] = '\0';
    return keyed(line, pair->name, pair->value, sizeof pair->value);
}

static void take(const char *line, int indent, char *section, size_t size)
{
    char ignored[LINE];
    struct pair pair;
    if (indent == 6) {
        if (keyed(line, "if", step.condition, sizeof step.condition) ||
            keyed(line, "environment_file", step.environment_file, sizeof step.environment_file) ||
            keyed(line, "hostname", step.hostname, sizeof step.hostname) || keyed(line, "name", ignored, sizeof ignored))
            return;
        if (any_key(line, &pair))
            snprintf(section, size, "%s", pair.name);
    } else if (indent == 8 && strcmp(section, "environment") == 0) {
        if (step.environments < ITEMS && any_key(line, &step.environment[step.environments]))
            step.environments++;
    } else if (indent == 8 && strcmp(section, "commands") == 0) {
        if (step.commands_count < ITEMS && strncmp(line, "- ", 2) == 0)
            value_of(line + 2, step.commands[step.commands_count++], LINE);
    } else if (indent == 8 && strcmp(section, "users") == 0) {
        if (step.users_count < ITEMS && any_key(line, &step.users[step.users_count]))
            step.users_count++;
    } else if (indent == 10 && strcmp(section, "users") == 0 && step.users_count > 0) {
        struct pair *user = &step.users[step.users_count - 1];
        keyed(line, "passwd", user->value, sizeof user->value);
    }
}

static void run_file(const char *path, const char *stage)
{
    char line[LINE], section[256] = "", found[LINE];
    int inside = 0;
    FILE *in = fopen(path, "r");
    if (in == NULL) {
        complain(strerror(errno), path);
        return;
    }
    while (fgets(line, sizeof line, in) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        char *text = line + strspn(line, " ");
        int indent = (int)(text - line);
        if (*text == '\0' || *text == '#')
            continue;
        if (indent <= 2) {
            apply();
            inside = indent == 2 && keyed(text, stage, found, sizeof found);
        } else if (inside && indent == 4 && strncmp(text, "- ", 2) == 0) {
            apply();
            step.used = 1;
            section[0] = '\0';
            take(text + 2, 6, section, sizeof section);
        } else if (inside) {
            take(text, indent, section, sizeof section);
        }
    }
    apply();
    fclose(in);
}

static int is_config(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot != NULL && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

static void run_directory(const char *directory, const char *stage)
{
    struct dirent **entries;
    int count = scandir(directory, &entries, is_config, alphasort);
    for (int i = 0; i < count; i++) {
        char path[LINE];
        snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
        run_file(path, stage);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

static int run_stage(const char *stage)
{
    static const char *const phases[] = {".before", "", ".after"};
    setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 0);
    for (size_t phase = 0; phase < 3; phase++) {
        char name[256];
        snprintf(name, sizeof name, "%s%s", stage, phases[phase]);
        for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
            run_directory(directories[i], name);
    }
    if (failures > 0)
        fprintf(stderr, "elemental: stage %s: %d step(s) failed\n", stage, failures);
    return 0; /* a failed step is reported, it does not stop the boot */
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "run-stage") == 0)
        return run_stage(argv[2]);
    if (argc == 2 && strcmp(argv[1], "version") == 0) {
        puts("stand-in");
        return 0;
    }
    fputs("usage: elemental run-stage STAGE | version (a stand-in: it installs and upgrades nothing)\n", stderr);
    return 2;
}
