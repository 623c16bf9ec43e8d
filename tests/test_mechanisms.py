from tests.mechanisms import PAGE, page


def test_the_page_of_mechanisms_is_what_the_code_says():
    assert PAGE.read_text(encoding="utf-8") == page()
