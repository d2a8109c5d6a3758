/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "page.h"

#include "checkpoint.h"

#include <math.h>
#include <string.h>

#define SEEN_BELOW 50.0 /* dB: what differs less from the truth looks like it */

/* No character in it has a meaning in XML. Ink's colours are those of the picture file, in plot-png.c. */
static const char style[]
    = ":root { color-scheme: light dark; --back: #ffffff; --card: #f5f6f8; --text: #1a1d21;\n"
      "  --muted: #5a6270; --grid: #dfe3e8; --first: #0b5cad; --second: #b4500a; --good: #17702f; --bad: "
      "#b42318; }\n"
      "@media (prefers-color-scheme: dark) { :root { --back: #14171b; --card: #1e2329; --text: #e8eaed;\n"
      "  --muted: #a3abb8; --grid: #363d47; --first: #74b0ff; --second: #ffa657; --good: #5bc97a;\n"
      "  --bad: #ff8a80; } }\n"
      "* { box-sizing: border-box; }\n"
      "body { margin: 0 auto; max-width: 1120px; padding: 24px 16px 64px; background: var(--back);\n"
      "  color: var(--text); font: 16px/1.5 system-ui, sans-serif; -webkit-text-size-adjust: 100%; }\n"
      "h1 { margin: 0; font-size: 26px; line-height: 1.25; overflow-wrap: anywhere; }\n"
      "h2 { margin: 44px 0 12px; font-size: 20px; }\n"
      ".headline { margin: 10px 0 20px; font-size: 18px; max-width: 46em; }\n"
      ".note, figcaption { color: var(--muted); font-size: 14px; overflow-wrap: anywhere; }\n"
      ".tiles { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); }\n"
      ".tile { background: var(--card); border-radius: 10px; padding: 12px 16px; }\n"
      ".tile b { display: block; font-size: 27px; line-height: 1.3; white-space: nowrap; }\n"
      ".tile span { color: var(--muted); font-size: 14px; display: block; }\n"
      ".tile, td, svg { font-variant-numeric: tabular-nums; }\n"
      ".plots { display: grid; gap: 20px 32px;\n"
      "  grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); }\n"
      ".plot { width: 100%; height: auto; display: block; }\n"
      ".plot text { font: 13px system-ui, sans-serif; fill: var(--text); }\n"
      ".plot .title { font-size: 15px; font-weight: 600; }\n"
      ".plot text.muted { fill: var(--muted); }\n"
      ".plot polyline { fill: none; stroke-linejoin: round; }\n"
      ".plot .first { stroke: var(--first); } .plot .second { stroke: var(--second); }\n"
      ".plot .muted { stroke: var(--muted); } .plot .grid { stroke: var(--grid); }\n"
      ".plot text { stroke: none; } .plot text.muted { stroke: none; }\n"
      ".plot rect.first { fill: var(--first); } .plot circle { fill: var(--back); stroke-width: 1.6; }\n"
      ".scroll { overflow-x: auto; }\n"
      "table { border-collapse: collapse; font-size: 15px; }\n"
      "th, td { padding: 5px 14px 5px 0; text-align: right; border-bottom: 1px solid var(--grid);\n"
      "  white-space: nowrap; }\n"
      "th { color: var(--muted); font-weight: 600; vertical-align: bottom; white-space: normal;\n"
      "  min-width: 3.5em; }\n"
      ".left { text-align: left; } td.left { white-space: normal; overflow-wrap: anywhere;\n"
      "  min-width: min(13em, 32vw); max-width: 44em; unicode-bidi: isolate; }\n"
      "td.left + td.left { min-width: min(8em, 32vw); }\n"
      "tr.strong td { font-weight: 600; }\n"
      ".good { color: var(--good); } .bad { color: var(--bad); }\n"
      "summary { cursor: pointer; margin: 12px 0; color: var(--muted); }\n"
      "figure { margin: 16px 0 32px; }\n"
      "figcaption { margin-top: 6px; }\n"
      ".views { display: grid; gap: 6px; grid-template-columns: repeat(3, minmax(0, 1fr)); }\n"
      ".views p { margin: 0; font-size: 14px; line-height: 1.35; font-variant-numeric: tabular-nums; }\n"
      ".views img { display: block; width: 100%; height: auto; border-radius: 3px; }\n"
      ".views img.zoom { image-rendering: pixelated; }\n"
      ".view { position: relative; }\n"
      ".view i { position: absolute; border: 2px solid #ffffff; outline: 1px solid #000000; }\n";

void
page_text (GString *page, const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);

  for (const char *at = valid; *at; at = g_utf8_next_char (at)) {
    gunichar character = g_utf8_get_char (at);

    switch (character) {
    case '&':
      g_string_append (page, "&amp;");
      break;
    case '<':
      g_string_append (page, "&lt;");
      break;
    case '>':
      g_string_append (page, "&gt;");
      break;
    case '"':
      g_string_append (page, "&quot;");
      break;
    case '\'':
      g_string_append (page, "&#39;");
      break;
    default:
      g_string_append_unichar (
          page, character < 0x20 || (character >= 0x7f && character < 0xa0) || (character & 0xfffe) == 0xfffe
                    ? 0xfffd
                    : character);
    }
  }
}

GString *
page_new (const char *title, const char *headline)
{
  GString *page
      = g_string_new ("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<title>");

  page_text (page, title);
  g_string_append_printf (page,
      "</title>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
      "<style>\n%s</style>\n</head>\n<body>\n<h1>",
      style);
  page_text (page, title);
  g_string_append (page, "</h1>\n<p class=\"headline\">");
  page_text (page, headline);
  g_string_append (page, "</p>\n");
  return page;
}

gboolean
page_save (GString *page, const GPtrArray *plots, const char *folder, GError **error)
{
  g_autofree char *html = g_build_filename (folder, "report.html", NULL);
  g_autofree char *png = g_build_filename (folder, "curves.png", NULL);

  g_string_append_printf (page, "<p class=\"note\">deblurunet-train %s. %s</p>\n</body>\n</html>\n",
      du_version (),
      plot_writes_png ? "The curves are beside this page as curves.png."
                      : "There is no curves.png beside this page: the program was built without cairo.");
  return plot_save_png (plots, png, error) && text_save (html, page->str, error);
}

void
page_heading (GString *page, const char *heading)
{
  g_string_append (page, "<h2>");
  page_text (page, heading);
  g_string_append (page, "</h2>\n");
}

void
page_note (GString *page, const char *text)
{
  g_string_append (page, "<p class=\"note\">");
  page_text (page, text);
  g_string_append (page, "</p>\n");
}

void
page_tiles (GString *page, gboolean begin)
{
  g_string_append (page, begin ? "<div class=\"tiles\">\n" : "</div>\n");
}

static void
number_text (double value, int decimals, char text[48])
{
  if (decimals < 0)
    g_snprintf (text, 48, "%.*e", -decimals - 1, value);
  else
    g_snprintf (text, 48, "%.*f", decimals, value);
}

/* A cell or a word with "+6.35", with a minus sign as long as the plus. plain: in no colour. */
static void
append_gain (GString *page, const char *element, double gain, int decimals, const char *unit, gboolean plain)
{
  char text[48];
  gboolean none;

  number_text (fabs (gain), decimals, text);
  none = g_ascii_strtod (text, NULL) == 0;
  g_string_append_printf (page, "<%s class=\"%s\">%s%s%s</%s>", element,
      none || plain ? "same"
      : gain < 0    ? "bad"
                    : "good",
      none       ? "±"
      : gain < 0 ? "−"
                 : "+",
      text, unit, element);
}

void
page_tile (GString *page, const char *what, double before, double after)
{
  gboolean unseen = before >= SEEN_BELOW && after >= SEEN_BELOW && before != after;

  g_string_append (page, "<div class=\"tile\"><span>");
  page_text (page, what);
  g_string_append (page, "</span>");
  append_gain (page, "b", after - before, 2, " dB", unseen);
  g_string_append_printf (page, "<span>%.2f → %.2f dB</span>%s</div>\n", before, after,
      unseen ? "<span>too little to be seen</span>" : "");
}

void
page_plots (GString *page, const GPtrArray *plots, guint first, guint end)
{
  g_string_append (page, "<div class=\"plots\">\n");
  for (guint i = first; i < MIN (end, plots->len); i++)
    plot_append_svg (page, g_ptr_array_index (plots, i));
  g_string_append (page, "</div>\n");
}

/* ---- tables ------------------------------------------------------------------------------------ */

void
page_table (GString *page, const char *summary, const char *const *columns, guint n_texts)
{
  if (summary) {
    g_string_append (page, "<details><summary>");
    page_text (page, summary);
    g_string_append (page, "</summary>\n");
  }
  g_string_append (page, "<div class=\"scroll\"><table>\n<thead><tr>");
  for (guint i = 0; columns[i]; i++) {
    g_string_append_printf (page, "<th%s>", i < n_texts ? " class=\"left\"" : "");
    page_text (page, columns[i]);
    g_string_append (page, "</th>");
  }
  g_string_append (page, "</tr></thead>\n<tbody>\n");
}

/* A row's end may be left out in HTML, but not in XML: page_row ends the one before it. */
static void
end_row (GString *page)
{
  if (g_str_has_suffix (page->str, "</td>"))
    g_string_append (page, "</tr>\n");
}

void
page_row (GString *page, gboolean strong)
{
  end_row (page);
  g_string_append (page, strong ? "<tr class=\"strong\">" : "<tr>");
}

void
page_cell (GString *page, const char *text)
{
  g_string_append (page, "<td class=\"left\">");
  page_text (page, text);
  g_string_append (page, "</td>");
}

void
page_number (GString *page, double value, int decimals)
{
  char text[48] = "–";

  if (isfinite (value))
    number_text (value, decimals, text);
  g_string_append_printf (page, "<td>%s</td>", text);
}

void
page_gain (GString *page, double value, int decimals)
{
  if (isfinite (value))
    append_gain (page, "td", value, decimals, "", FALSE);
  else
    page_number (page, value, decimals);
}

void
page_table_end (GString *page, gboolean folded)
{
  end_row (page);
  g_string_append_printf (page, "</tbody>\n</table></div>%s\n", folded ? "</details>" : "");
}

void
page_key_file (GString *page, GKeyFile *file, const char *group)
{
  static const char *const columns[] = { "Setting", "Value", NULL };
  g_auto (GStrv) keys = g_key_file_get_keys (file, group, NULL, NULL);

  page_table (page, NULL, columns, 2);
  for (char **key = keys; key && *key; key++) {
    g_auto (GStrv) values = g_key_file_get_string_list (file, group, *key, NULL, NULL);
    /* Those that are not UTF-8 come as they stand in the file. */
    g_autofree char *text
        = values ? g_strjoinv (", ", values) : g_key_file_get_value (file, group, *key, NULL);

    if (!text || !*text)
      continue;
    page_row (page, FALSE);
    page_cell (page, *key);
    page_cell (page, text);
  }
  page_table_end (page, FALSE);
}

void
page_network (GString *page, const DuConfig *config)
{
  static const char *const counts[] = { "Parameters", "Number", "Size", NULL };
  static const char *const layers[] = { "Layer", "Operation", "Reads", "Output", "Parameters", NULL };
  gsize total = du_config_n_parameters (config), trainable = du_config_n_trainable (config);
  const gsize numbers[] = { total, trainable, total - trainable };
  static const char *const names[] = { "Total", "Trainable", "Non-trainable" };
  g_autofree char *bn = du_bn_to_string (config->bn);
  g_autofree char *text = g_strdup_printf (
      "U-Net of base width %d, %s head, batch normalisation after %s; %.2f GFLOP for %d×%d pixels.",
      config->base_width, du_head_name (config->head), *bn ? bn : "no block",
      du_config_flops (config, DU_TILE_HEIGHT, DU_TILE_WIDTH) / 1e9, DU_TILE_WIDTH, DU_TILE_HEIGHT);

  page_heading (page, "Table 1: parameters of the network");
  page_note (page, text);
  page_table (page, NULL, counts, 1);
  for (int i = 0; i < 3; i++) {
    g_autofree char *number = parameters_text (numbers[i]), *size = parameters_size (numbers[i]);

    page_row (page, i == 0);
    page_cell (page, names[i]);
    g_string_append_printf (page, "<td>%s</td><td>%s</td>", number, size);
  }
  page_table_end (page, FALSE);
  page_table (page, "All layers", layers, 3);
  for (guint i = 0; i < du_config_n_layers (config); i++) {
    g_autofree char *reads = NULL, *number = NULL;
    DuLayer layer;

    du_config_layer (config, i, DU_TILE_HEIGHT, DU_TILE_WIDTH, &layer);
    reads = g_strconcat (layer.input, layer.skip ? ", " : NULL, layer.skip, NULL);
    number = parameters_text (layer.parameters);
    page_row (page, FALSE);
    page_cell (page, layer.name);
    page_cell (page, layer.operation);
    page_cell (page, reads);
    g_string_append_printf (
        page, "<td>%d×%d×%d</td><td>%s</td>", layer.height, layer.width, layer.channels, number);
  }
  page_table_end (page, TRUE);
}

void
page_weights (GString *page, DuModel *model)
{
  static const char *const columns[] = { "Weights", "", NULL };
  g_auto (GStrv) keys = du_model_metadata_keys (model);

  page_network (page, du_model_config (model));
  page_heading (page, "Weights");
  page_table (page, NULL, columns, 2);
  for (char **key = keys; *key; key++) {
    page_row (page, FALSE);
    page_cell (page, *key);
    page_cell (page, du_model_metadata (model, *key));
  }
  page_table_end (page, FALSE);
}

void
page_kernel_name (const SynthKernel *kernel, char text[48])
{
  if (kernel)
    g_snprintf (text, 48, "%d×%d, σ %g", kernel->size, kernel->size, kernel->sigma);
  else
    g_strlcpy (text, "as given", 48);
}

void
page_rise (GString *sentence, const SynthKernel *kernel, double before, double after)
{
  g_string_append_printf (sentence, "%s%.2f → %.2f dB", sentence->len ? ", " : "", before, after);
  if (kernel)
    g_string_append_printf (sentence, " at σ %g", kernel->sigma);
}
