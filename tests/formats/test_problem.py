from cosinspect.formats.text.problem import MAX_CHARACTERS, Problem, bounded


def test_a_problem_reads_with_its_line_where_that_is_known():
    assert "line 3: a fault" == str(Problem("kind", "a fault", 3))
    assert "a fault" == str(Problem("kind", "a fault", None))


def test_a_text_within_the_bound_is_left_alone():
    text = "x" * MAX_CHARACTERS
    assert (text, []) == bounded(text)


def test_a_longer_text_is_cut_and_that_is_a_problem():
    text, problems = bounded("x\n" * MAX_CHARACTERS)
    assert MAX_CHARACTERS == len(text)
    assert [("limit", MAX_CHARACTERS // 2 + 1)] == [(problem.kind, problem.line) for problem in problems]
