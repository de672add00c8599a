#pragma once
// The files for pages with charts, embedded in the program by the build.

#include <string_view>

namespace lapilli {

std::string_view chart_js();             // Chart.js, minified: defines window.Chart. Empty: it was not there when this was built
std::string_view chart_page_template();  // chart_page.html, with its {{places}}

}  // namespace lapilli
